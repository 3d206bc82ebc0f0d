"""HTTP: routes translate, conditions are parsed, waited for and judged here, nothing is decided."""
