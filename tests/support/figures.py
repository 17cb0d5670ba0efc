#!/usr/bin/env python3
"""figures.py FILE: checks that FILE is Prometheus's text exposition format, and prints its series, "NAME{LABELS} VALUE".

Stricter than the format: each metric has HELP, TYPE and all its lines in one place; counters are called …_total; buckets
ascend, count up, and end with all.
"""
import re
import sys

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\\\|\\"|\\n)*"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\d+(?:\.\d+)?)")


def fail(number, line, why):
    sys.exit(f"line {number}: {why}: {line}")


def check_histogram(name, samples):
    buckets = [(labels, float(value)) for sample, labels, value in samples if sample == name + "_bucket"]
    bounds = [float(re.fullmatch(r'le="([^"]+)"', labels).group(1)) for labels, _ in buckets]
    counts = [value for _, value in buckets]
    rest = {sample: float(value) for sample, _, value in samples if sample != name + "_bucket"}
    if set(rest) != {name + "_sum", name + "_count"} or len(samples) != len(buckets) + 2:
        sys.exit(f"{name}: not the lines of a histogram")
    if sorted(set(bounds)) != bounds or bounds[-1] != float("inf"):
        sys.exit(f"{name}: bounds {bounds}")
    if sorted(counts) != counts or counts[-1] != rest[name + "_count"]:
        sys.exit(f"{name}: counts {counts}")


def main():
    text = open(sys.argv[1], encoding="utf-8", newline="").read()
    if not text.endswith("\n"):
        sys.exit("the last line does not end")
    kinds, samples, series, name, helped = {}, {}, set(), None, None
    for number, line in enumerate(text[:-1].split("\n"), 1):
        if help_line := re.fullmatch(rf"# HELP ({NAME}) (\S.*)", line):
            helped = help_line.group(1)
            if helped in kinds:
                fail(number, line, "a second time")
            continue
        if type_line := re.fullmatch(rf"# TYPE ({NAME}) (counter|gauge|histogram)", line):
            name = type_line.group(1)
            if name != helped:
                fail(number, line, "no HELP before it")
            kinds[name], samples[name] = type_line.group(2), []
            if (kinds[name] == "counter") != name.endswith("_total"):
                fail(number, line, "named like something else")
            continue
        sample = SAMPLE.fullmatch(line)
        if not sample:
            fail(number, line, "not of the format")
        whole, labels, value = sample.group(1), sample.group(2) or "", sample.group(3)
        endings = ("_bucket", "_sum", "_count") if name and kinds[name] == "histogram" else ("",)
        if name != helped or whole not in {str(name) + ending for ending in endings}:
            fail(number, line, "not below its TYPE")
        if (whole, labels) in series:
            fail(number, line, "a second time")
        series.add((whole, labels))
        samples[name].append((whole, labels, value))
        print(line)
    for metric, kind in kinds.items():
        if not samples[metric]:
            sys.exit(f"{metric}: no value")
        if kind == "histogram":
            check_histogram(metric, samples[metric])


main()
