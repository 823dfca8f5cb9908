def fuzz_broker(**k):
    raise SystemExit(9)
