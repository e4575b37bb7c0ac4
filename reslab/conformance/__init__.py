"""How a network departs from the paper: any module is traced and held against a reference."""
