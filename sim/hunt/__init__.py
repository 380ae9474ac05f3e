"""The hunt: thousands of schedules of one scenario."""
