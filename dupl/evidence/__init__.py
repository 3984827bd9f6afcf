"""Archives that hold the evidence of a table, their verification, and the forms that reviewers ask for."""
