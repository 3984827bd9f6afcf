"""What a sweep found, as text, charts and a page."""
