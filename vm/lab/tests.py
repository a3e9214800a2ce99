def run(**a): pass
