"""The method, torch only: reads like section 3 of the paper."""
