"""The conversions: requests from values, values from answers."""
