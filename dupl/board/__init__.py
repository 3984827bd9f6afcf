"""The live board: a store on web pages of this machine, kept current while runs train. Imports no torch."""
