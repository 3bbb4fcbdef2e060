"""How results are laid out: text sheets, notes, styles and drawings of any table or figure."""
