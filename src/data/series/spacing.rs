//! How far one time is from the next, and how times go on.

use super::times::{DAY, TimeForm, shortest};
use chrono::{DateTime, Datelike, Days, Months, NaiveDate, TimeDelta, Weekday};
use std::collections::HashMap;

/// How far one time is from the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Spacing {
    /// So many months; the day of the month is this one, or the last where a month is shorter.
    Months(u32, u32),
    /// From Monday to Friday.
    Weekdays,
    /// So many microseconds.
    Micros(f64),
    /// So much, where times are mere numbers.
    Number(f64),
}

/// What the times of some groups are like.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) spacing: Option<Spacing>,
    /// How many times are missing between others, and the first place where some are: the row before.
    pub(super) missing: usize,
    pub(super) first: Option<usize>,
    /// How many are not where the spacing would have them.
    pub(super) odd: usize,
}

impl Spacing {
    /// Finds it out from stamps that go up, each group by itself: half of the distances or more are the same.
    pub(super) fn find<'a>(form: &TimeForm, groups: impl Iterator<Item = &'a [f64]> + Clone) -> Found {
        let pairs = || groups.clone().flat_map(|stamps| stamps.windows(2).map(|pair| [pair[0], pair[1]]));
        let spacing = if form.is_calendar() { calendar(&pairs, groups.clone()) } else { plain(&pairs) };
        let mut found = Found { spacing, missing: 0, first: None, odd: 0 };
        let Some(spacing) = spacing else { return found };
        let mut row = 0;
        for stamps in groups {
            for (at, pair) in stamps.windows(2).enumerate() {
                match spacing.steps(pair[0], pair[1]) {
                    Some(1) => {}
                    Some(steps) => {
                        found.missing += steps.saturating_sub(1);
                        found.first.get_or_insert(row + at);
                    }
                    None => found.odd += 1,
                }
            }
            row += stamps.len();
        }
        found
    }

    /// How many steps it is from one time to a later one; none where it is no whole number of them.
    pub(super) fn steps(self, from: f64, to: f64) -> Option<usize> {
        let whole = |distance: f64, step: f64| {
            let steps = (distance / step).round();
            ((distance - steps * step).abs() <= step * 1e-3 && steps >= 1.0).then_some(steps as usize)
        };
        match self {
            Self::Micros(step) | Self::Number(step) => whole(to - from, step),
            Self::Weekdays => {
                let days = ((to - from) / DAY).round() as usize;
                let first = date(from)?.weekday().num_days_from_monday() as usize;
                (days > 0).then(|| (1..=days).filter(|day| (first + day) % 7 < 5).count())
            }
            Self::Months(step, _) => {
                let months = |stamp: f64| date(stamp).map(|it| it.year() * 12 + it.month0() as i32);
                let months = u32::try_from(months(to)? - months(from)?).ok()?;
                (months > 0 && months.is_multiple_of(step)).then_some((months / step) as usize)
            }
        }
    }

    /// The time `steps` after this one.
    pub fn after(self, stamp: f64, steps: usize) -> f64 {
        match self {
            Self::Micros(step) | Self::Number(step) => stamp + step * steps as f64,
            Self::Weekdays => {
                let (mut day, mut left) = (date(stamp), steps);
                while let (Some(at), true) = (day, left > 0) {
                    day = at.checked_add_days(Days::new(1));
                    let is_weekday = |day: NaiveDate| !matches!(day.weekday(), Weekday::Sat | Weekday::Sun);
                    left -= usize::from(day.is_some_and(is_weekday));
                }
                with_time(day, stamp)
            }
            Self::Months(step, day) => {
                let months = u32::try_from(steps).ok().and_then(|steps| steps.checked_mul(step));
                let first = date(stamp).and_then(|at| at.with_day(1));
                let first =
                    first.zip(months).and_then(|(at, months)| at.checked_add_months(Months::new(months)));
                with_time(first.and_then(|first| (1..=day).rev().find_map(|day| first.with_day(day))), stamp)
            }
        }
    }

    /// `a month`, `30 minutes`.
    pub fn in_words(self) -> String {
        let counted = |count: f64, what: &str| match count {
            1.0 => what.to_string(),
            count => format!("{} {what}s", shortest(count)),
        };
        match self {
            Self::Months(12, _) => "year".into(),
            Self::Months(3, _) => "quarter".into(),
            Self::Months(months, _) => counted(f64::from(months), "month"),
            Self::Weekdays => "weekday".into(),
            Self::Number(step) => shortest(step),
            Self::Micros(step) => {
                let units = [(7.0 * DAY, "week"), (DAY, "day"), (3600e6, "hour"), (60e6, "minute")];
                let unit = units.into_iter().find(|(size, _)| step % size == 0.0);
                let (size, name) = unit.unwrap_or((1e6, "second"));
                counted(step / size, name)
            }
        }
    }

    /// How many steps a season most likely has, and what it is; none where the spacing does not tell.
    pub fn season(self) -> Option<(usize, &'static str)> {
        let within = |step: f64, whole: f64, least: f64, most: f64| {
            let steps = whole / step;
            (steps.fract() == 0.0 && (least..=most).contains(&steps)).then_some(steps as usize)
        };
        match self {
            Self::Months(months @ 1..12, _) if 12 % months == 0 => Some((12 / months as usize, "a year")),
            Self::Months(..) | Self::Number(_) => None,
            Self::Weekdays => Some((5, "a week")),
            Self::Micros(step) if step == 7.0 * DAY => Some((52, "a year")),
            Self::Micros(step) if step == DAY => Some((7, "a week")),
            Self::Micros(step) => (within(step, DAY, 2.0, 288.0).map(|steps| (steps, "a day")))
                .or_else(|| within(step, 3600e6, 2.0, 3600.0).map(|steps| (steps, "an hour"))),
        }
    }
}

fn date(stamp: f64) -> Option<NaiveDate> {
    DateTime::from_timestamp_micros(stamp.round() as i64).map(|at| at.date_naive())
}

/// The day, at the time of day of `stamp`.
fn with_time(day: Option<NaiveDate>, stamp: f64) -> f64 {
    let at = day.and_then(|day| {
        let of_day = TimeDelta::microseconds(stamp.rem_euclid(DAY) as i64);
        day.and_hms_opt(0, 0, 0)?.checked_add_signed(of_day)
    });
    at.map_or(f64::NAN, |at| at.and_utc().timestamp_micros() as f64)
}

/// The value that half of them or more are.
fn most_common(values: impl Iterator<Item = i64>) -> Option<i64> {
    let (mut counts, mut all) = (HashMap::<i64, usize>::new(), 0);
    for value in values {
        *counts.entry(value).or_default() += 1;
        all += 1;
    }
    // Of two that are as common the smaller, so that nothing hangs on an order by chance.
    let best = counts.into_iter().max_by_key(|&(value, count)| (count, std::cmp::Reverse(value)))?;
    (best.1 * 2 >= all && best.0 > 0).then_some(best.0)
}

fn calendar<'a, P: Iterator<Item = [f64; 2]>>(
    pairs: &impl Fn() -> P,
    groups: impl Iterator<Item = &'a [f64]> + Clone,
) -> Option<Spacing> {
    let stamps = || groups.clone().flatten().copied();
    let days = || stamps().map(date);
    let last_of_month =
        |day: NaiveDate| day.checked_add_days(Days::new(1)).is_none_or(|next| next.month() != day.month());
    let latest = days().flatten().map(|day| day.day()).max()?;
    let is_monthly = days().all(|day| {
        day.is_some_and(|day| day.day() == latest || day.day() < latest && latest > 28 && last_of_month(day))
    });
    if is_monthly {
        let month =
            |stamp: f64| date(stamp).map_or(0, |day| i64::from(day.year() * 12 + day.month0() as i32));
        let months = most_common(pairs().map(|[from, to]| month(to) - month(from)));
        if let Some(months) = months.and_then(|months| u32::try_from(months).ok()) {
            return Some(Spacing::Months(months, latest));
        }
    }
    let step = most_common(pairs().map(|[from, to]| (to - from) as i64))? as f64;
    let is_weekend = |day: NaiveDate| matches!(day.weekday(), Weekday::Sat | Weekday::Sun);
    let crosses = || pairs().any(|[from, to]| to - from == 3.0 * DAY);
    if step == DAY && crosses() && !days().flatten().any(is_weekend) {
        return Some(Spacing::Weekdays);
    }
    Some(Spacing::Micros(step))
}

fn plain<P: Iterator<Item = [f64; 2]>>(pairs: &impl Fn() -> P) -> Option<Spacing> {
    let mut distances: Vec<f64> = pairs().map(|[from, to]| to - from).collect();
    distances.sort_by(f64::total_cmp);
    let middle = *distances.get(distances.len() / 2)?;
    let alike = distances.iter().filter(|&&it| (it - middle).abs() <= middle * 1e-3).count();
    (middle > 0.0 && alike * 2 >= distances.len()).then_some(Spacing::Number(middle))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(texts: &[&str]) -> (TimeForm, Vec<f64>) {
        let texts: Vec<String> = texts.iter().map(|text| text.to_string()).collect();
        let form = TimeForm::candidates(&texts).expect("a form").remove(0);
        let stamps = texts.iter().map(|text| form.parse(text).expect("a time")).collect();
        (form, stamps)
    }

    /// Times of each kind, their spacing, and the two that follow.
    #[test]
    fn times_go_on() {
        for (texts, spacing, next) in [
            (vec!["2024-01-30", "2024-01-31", "2024-02-01"], "day", ["2024-02-02", "2024-02-03"]),
            (vec!["2024-01-31", "2024-02-29", "2024-03-31"], "month", ["2024-04-30", "2024-05-31"]),
            (vec!["2024-01", "2024-02", "2024-03"], "month", ["2024-04", "2024-05"]),
            (vec!["2020-02-29", "2021-02-28", "2022-02-28"], "year", ["2023-02-28", "2024-02-29"]),
            (vec!["1/31/2024", "2/1/2024", "2/2/2024", "2/5/2024"], "weekday", ["02/06/2024", "02/07/2024"]),
            (
                vec!["2024-03-01 23:30", "2024-03-02 00:00"],
                "30 minutes",
                ["2024-03-02 00:30", "2024-03-02 01:00"],
            ),
            (vec!["20240101", "20240108"], "week", ["20240115", "20240122"]),
            (vec!["202311", "202312"], "month", ["202401", "202402"]),
            (vec!["1700000000", "1700000060"], "minute", ["1700000120", "1700000180"]),
            (vec!["1700000000000", "1700003600000"], "hour", ["1700007200000", "1700010800000"]),
            (vec!["1998", "1999", "2000"], "1", ["2001", "2002"]),
            (
                vec!["2024-01-01T00:00:00Z", "2024-01-01T06:00:00Z"],
                "6 hours",
                ["2024-01-01T12:00:00Z", "2024-01-01T18:00:00Z"],
            ),
        ] {
            let (form, stamps) = stamps(&texts);
            let found = Spacing::find(&form, std::iter::once(stamps.as_slice()));
            let own = found.spacing.expect("regular");
            assert_eq!(own.in_words(), spacing, "{texts:?}");
            assert_eq!((found.missing, found.odd), (0, 0), "{texts:?}");
            let last = stamps[stamps.len() - 1];
            assert_eq!([1, 2].map(|steps| form.show(own.after(last, steps))), next, "{texts:?}");
        }
    }

    #[test]
    fn gaps_and_odd_times_are_counted() {
        let (form, times) = stamps(&["2024-01-01", "2024-01-02", "2024-01-05", "2024-01-06", "2024-01-07"]);
        let found = Spacing::find(&form, std::iter::once(times.as_slice()));
        assert_eq!((found.missing, found.first, found.odd), (2, Some(1), 0));
        let (form, times) = stamps(&["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04 ", "2024-03-17"]);
        assert_eq!(Spacing::find(&form, std::iter::once(times.as_slice())).missing, 72);
        let (form, times) = stamps(&["1", "5", "7", "20"]);
        assert_eq!(Spacing::find(&form, std::iter::once(times.as_slice())).spacing, None);
    }

    #[test]
    fn seasons_follow_from_the_spacing() {
        assert_eq!(Spacing::Months(1, 1).season(), Some((12, "a year")));
        assert_eq!(Spacing::Months(12, 1).season(), None);
        assert_eq!(Spacing::Micros(3600e6).season(), Some((24, "a day")));
        assert_eq!(Spacing::Micros(60e6).season(), Some((60, "an hour")));
        assert_eq!(Spacing::Weekdays.season(), Some((5, "a week")));
        assert_eq!(Spacing::Number(1.0).season(), None);
    }
}
