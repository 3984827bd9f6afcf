"""`dupl data prepare`: downloads the public data sets and converts them to the folders that the recipes read."""
