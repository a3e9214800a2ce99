def run(target): pass
