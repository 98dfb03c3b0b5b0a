"""HTTP without PKI: requests, responses, forms, and the table from errors to statuses."""
