//! Times as files write them, and how they go on.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, TimeDelta, Weekday};
use std::collections::HashMap;

/// How times are written.
#[derive(Clone, Debug, PartialEq)]
pub enum TimeForm {
    /// A date, by chrono's format.
    Date(&'static str),
    /// A date and a time of day, by chrono's format.
    DateTime(&'static str),
    /// The same with its distance from UTC.
    Zoned,
    /// Numbers since the beginning of 1970, so many a second.
    Epoch(i64),
    /// Numbers of any other kind: years, steps.
    Number,
}

const DATES: [&str; 9] = [
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%Y%m%d",
    "%d.%m.%Y",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d-%b-%Y",
    "%b %d, %Y",
];

/// Months alone; the first day is theirs.
const MONTHS: [&str; 2] = ["%Y-%m", "%Y/%m"];

const DATE_TIMES: [&str; 8] = [
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y/%m/%d %H:%M:%S%.f",
    "%Y/%m/%d %H:%M",
    "%d.%m.%Y %H:%M",
    "%m/%d/%Y %H:%M",
];

/// Microseconds of a day.
const DAY: f64 = 86_400e6;

impl TimeForm {
    /// The form in which all of these are written.
    ///
    /// # Errors
    /// The first that no form takes, by its place; or two forms that take all, in words.
    pub(super) fn of(texts: &[String]) -> Result<Self, (Option<usize>, String)> {
        let numbers: Option<Vec<f64>> = texts.iter().map(|text| number(text)).collect();
        if let Some(numbers) = numbers.filter(|numbers| !numbers.is_empty()) {
            let is_compact = texts.iter().all(|text| text.trim().len() == 8);
            if is_compact && texts.iter().all(|text| Self::Date("%Y%m%d").parse(text).is_some()) {
                return Ok(Self::Date("%Y%m%d"));
            }
            let most = numbers.iter().fold(0.0_f64, |most, number| most.max(number.abs()));
            // From 1973 on, in each unit.
            let units = [(1e17, 1_000_000_000), (1e14, 1_000_000), (1e11, 1_000), (1e8, 1)];
            let unit = units.into_iter().find(|(least, _)| most >= *least);
            return Ok(unit.map_or(Self::Number, |(_, unit)| Self::Epoch(unit)));
        }
        let dates = DATES.into_iter().chain(MONTHS).map(Self::Date);
        let forms: Vec<Self> =
            dates.chain(DATE_TIMES.into_iter().map(Self::DateTime)).chain([Self::Zoned]).collect();
        let failing = |form: &Self| texts.iter().position(|text| form.parse(text).is_none());
        let failures: Vec<Option<usize>> = forms.iter().map(failing).collect();
        let whole: Vec<&Self> = forms
            .iter()
            .zip(&failures)
            .filter(|(_, failed)| failed.is_none())
            .map(|(form, _)| form)
            .collect();
        let differ = |a: &Self, b: &Self| texts.iter().any(|text| a.parse(text) != b.parse(text));
        match whole.as_slice() {
            [] => {
                let at = failures.into_iter().flatten().max().unwrap_or(0);
                Err((
                    Some(at),
                    "is no time that is known; write 2024-01-31, 2024-01-31 13:30:00 or a number".into(),
                ))
            }
            [first, rest @ ..] if rest.iter().any(|other| differ(first, other)) => {
                Err((None, "may be month and day or day and month; write the dates as 2024-01-31".into()))
            }
            [first, ..] => Ok((*first).clone()),
        }
    }

    /// Microseconds since the beginning of 1970, or the number itself.
    pub(super) fn parse(&self, text: &str) -> Option<f64> {
        let text = text.trim();
        let micros = |at: NaiveDateTime| at.and_utc().timestamp_micros() as f64;
        match self {
            Self::Date(form) if MONTHS.contains(form) => {
                let day = NaiveDate::parse_from_str(&format!("{text}-01"), &format!("{form}-%d")).ok()?;
                Some(micros(day.and_hms_opt(0, 0, 0)?))
            }
            Self::Date(form) => {
                // A year of four digits: chrono would take 24 as the year 24.
                let day = NaiveDate::parse_from_str(text, form).ok().filter(|day| day.year() >= 1000)?;
                Some(micros(day.and_hms_opt(0, 0, 0)?))
            }
            Self::DateTime(form) => NaiveDateTime::parse_from_str(text, form).ok().map(micros),
            Self::Zoned => {
                let text = text.replacen(' ', "T", 1);
                let time = DateTime::parse_from_rfc3339(&text).ok()?;
                Some(time.timestamp_micros() as f64)
            }
            Self::Epoch(unit) => Some(number(text)? / *unit as f64 * 1e6),
            Self::Number => number(text),
        }
    }

    /// A time of this form: microseconds since the beginning of 1970, or the number itself.
    pub fn stamp(&self, text: &str) -> Option<f64> {
        self.parse(text)
    }

    /// A time as files write it.
    pub fn show(&self, stamp: f64) -> String {
        let at = || DateTime::from_timestamp_micros(stamp.round() as i64).map(|at| at.naive_utc());
        let shown = match self {
            Self::Number => return shortest(stamp),
            Self::Epoch(unit) => return shortest(stamp / 1e6 * *unit as f64),
            Self::Date(form) | Self::DateTime(form) => at().map(|at| at.format(form).to_string()),
            Self::Zoned => at().map(|at| at.format("%Y-%m-%dT%H:%M:%S%.fZ").to_string()),
        };
        shown.unwrap_or_else(|| shortest(stamp))
    }

    /// Whether the numbers are moments, and not only numbers.
    pub fn is_calendar(&self) -> bool {
        *self != Self::Number
    }
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|number| number.is_finite())
}

/// A number without digits that only its binary form has.
fn shortest(number: f64) -> String {
    let rounded = (number * 1e6).round() / 1e6;
    if rounded.is_finite() { rounded.to_string() } else { number.to_string() }
}

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
        let form = TimeForm::of(&texts).expect("a form");
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
    fn what_is_no_time_is_refused() {
        let of = |texts: &[&str]| TimeForm::of(&texts.iter().map(|it| it.to_string()).collect::<Vec<_>>());
        assert_eq!(of(&["2024-01-01", "soon"]).expect_err("refused").0, Some(1));
        assert!(of(&["01/02/2024", "02/03/2024"]).expect_err("refused").1.contains("day and month"));
        assert_eq!(of(&["01/02/2024", "13/03/2024"]), Ok(TimeForm::Date("%d/%m/%Y")));
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
