"""The interactive atlas: one HTML file that needs nothing but a browser."""
