"""`dupl data prepare`: from the archives of the public data sets to folders that the recipes read."""
