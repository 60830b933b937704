#!/usr/bin/env python3
"""cron_oracle.py FIRST_YEAR YEARS ZONE... - when Debian's cron would run what, told by living through every minute.

It is cron(8) as its manual page and main loop describe it, not as server/cron.c computes it: a clock that ticks
once a minute, read in a zone by Python's zoneinfo, and a virtual clock that catches up with it. Prints for every
zone and schedule "= ZONE TAB SCHEDULE" and then the runs, UTC seconds, one a line; a run at the minute of another run
of the same schedule is one run.
"""
import datetime
import random
import sys
import zoneinfo

UTC = datetime.timezone.utc
MONTHS = dict(zip("jan feb mar apr may jun jul aug sep oct nov dec".split(), range(1, 13)))
DAYS = dict(zip("sun mon tue wed thu fri sat".split(), range(7)))

FIXED = """
*/15 * * * *
@hourly
7 * * * *
0 0 * * *
@midnight
30 0 * * *
@weekly
@monthly
@yearly
0 2 * * *
15 2 * * *
30 2 * * *
59 2 * * *
0 3 * * *
1 3 * * *
0,30 1,2,3 * * *
*/20 2 * * *
30 */2 * * *
0 1-3 * * sun
30 2 * mar,oct sun
15 2 25-31 3,4,9,10,11 *
0 12 13 * fri
0 12 */2 * mon
0 12 13 * *
0 0 29 2 *
59 23 31 12 *
0 5 1-7 * 7
10 4 * * mon-fri
5-55/10 6,18 * jan-mar tue,thu
45 23 * * 0-6/3
45 0-23/6 1,15 * *
* 2 14 mar *
""".strip().splitlines()


def parse(text, names, low, high):
    values = set()
    for part in text.split(","):
        base, _, step = part.partition("/")
        if base == "*":
            first, last = low, high
        else:
            first, _, last = base.partition("-")
            first = names.get(first.lower()) if first.lower() in names else int(first)
            last = first if not last else names.get(last.lower()) if last.lower() in names else int(last)
        values.update(range(first, last + 1, int(step or 1)))
    return values


class Job:
    def __init__(self, text):
        self.text = text
        fields = {"@hourly": "0 * * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
                  "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *"}.get(text, text).split()
        self.minutes, self.hours = parse(fields[0], {}, 0, 59), parse(fields[1], {}, 0, 23)
        self.days, self.months = parse(fields[2], {}, 1, 31), parse(fields[3], MONTHS, 1, 12)
        self.weekdays = {d % 7 for d in parse(fields[4], DAYS, 0, 7)}
        self.wild = fields[0][0] == "*" or fields[1][0] == "*"
        self.star = fields[2][0] == "*" or fields[4][0] == "*"
        self.runs = []

    def on(self, date):
        day, weekday = date.day in self.days, date.isoweekday() % 7 in self.weekdays
        return date.month in self.months and (day and weekday if self.star else day or weekday)


def made_up(n):
    """Schedules nobody thought of, the same in every run."""
    r = random.Random(20260101)
    for _ in range(n):
        minute = r.choice([str(r.randrange(60)), "%d,%d" % (r.randrange(60), r.randrange(60)), "*/30"])
        hour = r.choice([str(r.randrange(5)), "%d-%d" % (r.randrange(3), 3 + r.randrange(20)), "*/6"])
        day = r.choice(["*", str(1 + r.randrange(31)), "1-15/%d" % (1 + r.randrange(7)), "*/10"])
        month = r.choice(["*", "*", "%d-12" % (1 + r.randrange(12)), "*/3", "mar,oct", "Apr,SEP"])
        weekday = r.choice(["*", "*", str(r.randrange(8)), "sat,sun", "1-5/2", "*/2"])
        yield " ".join((minute, hour, day, month, weekday))


def live(zone, first, years, jobs):
    zone = zoneinfo.ZoneInfo(zone)
    start = int(datetime.datetime(first, 1, 1, tzinfo=UTC).timestamp()) // 60
    end = int(datetime.datetime(first + years, 1, 1, tzinfo=UTC).timestamp()) // 60
    at_minute = {}  # of the day: jobs that could run then
    for job in jobs:
        for hour in job.hours:
            for minute in job.minutes:
                at_minute.setdefault(hour * 60 + minute, []).append(job)
    epoch = datetime.date(1970, 1, 1)
    fits = {}  # (day): jobs

    def find_jobs(virtual, wild, fixed, now):
        day, minute = divmod(virtual, 1440)
        for job in at_minute.get(minute, ()):
            if not (wild if job.wild else fixed):
                continue
            if day not in fits:
                fits.clear()
                date = epoch + datetime.timedelta(days=day)
                fits[day] = {j for j in jobs if j.on(date)}
            if job in fits[day] and (not job.runs or job.runs[-1] != now * 60):
                job.runs.append(now * 60)

    def offset_at(minute):
        moment = datetime.datetime.fromtimestamp(minute * 60, UTC).astimezone(zone)
        return int(moment.utcoffset().total_seconds()) // 60

    virtual = start - 1 + offset_at(start - 1)
    offset = 0
    for now in range(start, end):
        if now % 15 == 0 or now == start:  # no zone changes its clocks at another minute
            offset = offset_at(now)
        clock = now + offset
        difference = clock - virtual
        if difference == 1:
            virtual = clock
            find_jobs(virtual, True, True, now)
        elif -180 < difference <= 0:  # the clock repeats itself: the virtual one waits
            find_jobs(clock, True, False, now)
        elif 1 < difference < 180:  # it has left something out
            find_jobs(clock, True, False, now)
            while virtual < clock:
                virtual += 1
                find_jobs(virtual, False, True, now)
        else:
            virtual = clock
            find_jobs(virtual, True, True, now)


def main():
    first, years = int(sys.argv[1]), int(sys.argv[2])
    for zone in sys.argv[3:]:
        jobs = [Job(text) for text in FIXED + list(made_up(40))]
        live(zone, first, years, jobs)
        for job in jobs:
            print("= %s\t%s" % (zone, job.text))
            print("\n".join(map(str, job.runs)))


main()
