"""From settings to the parts of a server; the app starts and stops what is built here."""
