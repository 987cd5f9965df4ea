//! Times as files write them.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime};

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

const DATES: [&str; 11] = [
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%Y%m%d",
    "%d.%m.%Y",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%m-%d-%Y",
    "%d-%m-%Y",
    "%d-%b-%Y",
    "%b %d, %Y",
];

/// Months alone; the first day is theirs.
const MONTHS: [&str; 3] = ["%Y-%m", "%Y/%m", "%Y%m"];

const DATE_TIMES: [&str; 17] = [
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y/%m/%d %H:%M:%S%.f",
    "%Y/%m/%d %H:%M",
    "%Y.%m.%d %H:%M:%S%.f",
    "%Y.%m.%d %H:%M",
    "%d.%m.%Y %H:%M:%S%.f",
    "%d.%m.%Y %H:%M",
    "%m/%d/%Y %H:%M:%S%.f",
    "%d/%m/%Y %H:%M:%S%.f",
    "%m/%d/%Y %H:%M",
    "%d/%m/%Y %H:%M",
    "%m-%d-%Y %H:%M",
    "%d-%m-%Y %H:%M",
    "%d-%m-%Y %H:%M:%S%.f",
];

/// The years that a number of digits alone may begin with to be taken for one.
const YEARS: std::ops::Range<i32> = 1600..2400;

/// Microseconds of a day.
pub(super) const DAY: f64 = 86_400e6;

impl TimeForm {
    /// The forms in which all of these are written: several where they may be read as days and months or as months and days.
    ///
    /// # Errors
    /// The first that no form takes, by its place.
    pub(super) fn candidates(texts: &[String]) -> Result<Vec<Self>, (usize, String)> {
        let numbers: Option<Vec<f64>> = texts.iter().map(|text| number(text)).collect();
        if let Some(numbers) = numbers.filter(|numbers| !numbers.is_empty()) {
            return Ok(vec![Self::of_numbers(texts, &numbers)]);
        }
        let dates = DATES.into_iter().chain(MONTHS).map(Self::Date);
        let forms = dates.chain(DATE_TIMES.into_iter().map(Self::DateTime)).chain([Self::Zoned]);
        let (mut whole, mut furthest) = (Vec::<Self>::new(), 0);
        for form in forms {
            match texts.iter().position(|text| form.parse(text).is_none()) {
                Some(at) => furthest = furthest.max(at),
                None => whole.push(form),
            }
        }
        let differ = |a: &Self, b: &Self| texts.iter().any(|text| a.parse(text) != b.parse(text));
        match whole.first() {
            None => Err((
                furthest,
                "is no time that is known; write 2024-01-31, 2024-01-31 13:30:00 or a number".into(),
            )),
            Some(first) if whole.iter().any(|other| differ(first, other)) => Ok(whole),
            Some(first) => Ok(vec![first.clone()]),
        }
    }

    /// The form of times that are numbers.
    fn of_numbers(texts: &[String], numbers: &[f64]) -> Self {
        // The number of digits, the same in all, tells 202401 from the steps 1 to 1000000.
        for (digits, form) in [(8, "%Y%m%d"), (6, "%Y%m")] {
            let form = Self::Date(form);
            let is_date = |text: &String| {
                let year = text.trim().get(..4).and_then(|year| year.parse().ok());
                text.trim().len() == digits
                    && year.is_some_and(|year| YEARS.contains(&year))
                    && form.parse(text).is_some()
            };
            if texts.iter().all(is_date) {
                return form;
            }
        }
        let most = numbers.iter().fold(0.0_f64, |most, number| most.max(number.abs()));
        // From 1973 on, in each unit.
        let units = [(1e17, 1_000_000_000), (1e14, 1_000_000), (1e11, 1_000), (1e8, 1)];
        let unit = units.into_iter().find(|(least, _)| most >= *least);
        unit.map_or(Self::Number, |(_, unit)| Self::Epoch(unit))
    }

    /// Whether days stand before months, where the form alone cannot tell.
    pub(super) fn day_first(&self) -> Option<bool> {
        match self {
            Self::Date(form) | Self::DateTime(form) => match form.get(..6) {
                Some("%d/%m/" | "%d-%m-") => Some(true),
                Some("%m/%d/" | "%m-%d-") => Some(false),
                _ => None,
            },
            _ => None,
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
pub(super) fn shortest(number: f64) -> String {
    let rounded = (number * 1e6).round() / 1e6;
    if rounded.is_finite() { rounded.to_string() } else { number.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_alone_are_dates_where_all_are() {
        let form = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|it| it.to_string()).collect();
            TimeForm::candidates(&texts).expect("a form").remove(0)
        };
        assert_eq!(form(&["202311", "202312", "202401"]), TimeForm::Date("%Y%m"));
        assert_eq!(form(&["20231231", "20240101"]), TimeForm::Date("%Y%m%d"));
        assert_eq!(form(&["202312", "202313"]), TimeForm::Number);
        assert_eq!(form(&["202312", "1"]), TimeForm::Number);
        assert_eq!(form(&["100001", "100002"]), TimeForm::Number);
        assert_eq!(TimeForm::Date("%Y%m").show(1_706_745_600e6), "202402");
        assert_eq!(TimeForm::candidates(&["2024-01-01".into(), "soon".into()]).expect_err("refused").0, 1);
    }
}
