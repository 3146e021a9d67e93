"""From documents of the API to what a template shows: pure functions, no request, no clock."""
