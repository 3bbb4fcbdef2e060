"""Tables, their columns and the page that a table is written to."""
