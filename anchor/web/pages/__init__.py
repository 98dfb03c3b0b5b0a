"""The pages for people: templates, styles, and what stands in them."""
