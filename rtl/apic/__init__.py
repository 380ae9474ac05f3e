"""The local APIC and the fabrics that carry interrupt messages between local APICs."""
