//! How times are written: the form that a whole column has, days and months told apart.

use super::spacing::Spacing;
use super::times::TimeForm;
use std::collections::BTreeMap;

/// What keeps times from being read: the row, where it is one, and what is wrong.
type Fault = (Option<usize>, String);

/// The form in which all of these are written; and what is to be said where that is no matter of course. Where days and months may
/// be either, `day_first` tells, where it is given; else that the rows, each of one of `groups`, are in order in one form alone; else
/// that they are at a regular distance in one alone.
///
/// # Errors
/// The first that no form takes, by its place; or two forms that take all, in words.
pub(super) fn find(
    texts: &[String],
    groups: &[usize],
    day_first: Option<bool>,
) -> Result<(TimeForm, Option<String>), Fault> {
    let forms = TimeForm::candidates(texts).map_err(|(row, what)| (Some(row), what))?;
    if let [only] = forms.as_slice() {
        return Ok((only.clone(), None));
    }
    if let Some(form) = forms.iter().find(|form| day_first.is_some() && form.day_first() == day_first) {
        return Ok((form.clone(), None));
    }
    let chosen = |form: &TimeForm, why: &str| {
        let order = if form.day_first() == Some(true) { "day before month" } else { "month before day" };
        let first = texts.first().map_or("", String::as_str);
        Ok((form.clone(), Some(format!("{first:?} is taken as {order}: so the rows are {why}"))))
    };
    let stamps: Vec<_> = forms.iter().map(|form| by_group(form, texts, groups)).collect();
    let judged =
        |is_so: &dyn Fn(usize) -> bool| -> Vec<usize> { (0..forms.len()).filter(|&at| is_so(at)).collect() };
    let ordered =
        judged(&|at| stamps[at].iter().all(|stamps| stamps.is_sorted() || stamps.iter().rev().is_sorted()));
    if let [only] = ordered.as_slice() {
        return chosen(&forms[*only], "in order");
    }
    let regular = judged(&|at| {
        let mut groups = stamps[at].clone();
        groups.iter_mut().for_each(|stamps| stamps.sort_by(f64::total_cmp));
        let found = Spacing::find(&forms[at], groups.iter().map(Vec::as_slice));
        ordered.contains(&at) && found.spacing.is_some() && found.missing + found.odd == 0
    });
    match regular.as_slice() {
        [only] => chosen(&forms[*only], "at a regular distance"),
        _ => Err((
            None,
            "may be month and day or day and month: say which (`data::series::Columns::day_first`), or write the dates as \
             2024-01-31"
                .into(),
        )),
    }
}

/// The times of each group, in the order of the rows.
fn by_group(form: &TimeForm, texts: &[String], groups: &[usize]) -> Vec<Vec<f64>> {
    let mut found = BTreeMap::<usize, Vec<f64>>::new();
    for (row, stamp) in texts.iter().map(|text| form.parse(text).unwrap_or(f64::NAN)).enumerate() {
        found.entry(groups.get(row).copied().unwrap_or(0)).or_default().push(stamp);
    }
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(
        texts: &[&str],
        groups: &[usize],
        day_first: Option<bool>,
    ) -> Result<(TimeForm, Option<String>), Fault> {
        find(&texts.iter().map(|it| it.to_string()).collect::<Vec<_>>(), groups, day_first)
    }

    #[test]
    fn days_and_months_are_told_apart() {
        let form = |texts: &[&str]| of(texts, &[], None).expect("a form");
        // By a number that is no month.
        assert_eq!(form(&["01/02/2024", "13/03/2024"]), (TimeForm::Date("%d/%m/%Y"), None));
        assert_eq!(form(&["02/01/2024 10:00", "02/13/2024 10:00"]).0, TimeForm::DateTime("%m/%d/%Y %H:%M"));
        // By the order of the rows, up or down, each group by itself.
        let (own, note) = form(&["01/03/2024 10:00", "02/03/2024 10:00", "01/04/2024 10:00"]);
        assert_eq!(own, TimeForm::DateTime("%d/%m/%Y %H:%M"));
        assert!(note.is_some_and(|note| note.contains("day before month: so the rows are in order")));
        let down = ["03-01-2024", "02-02-2024", "02-01-2024", "01-05-2024"];
        assert_eq!(form(&down).0, TimeForm::Date("%m-%d-%Y"));
        let texts = ["01/03/2024", "01/03/2024", "02/03/2024", "02/03/2024", "01/04/2024", "01/04/2024"];
        let groups = [0, 1, 0, 1, 0, 1];
        assert_eq!(of(&texts, &groups, None).map(|(form, _)| form), Ok(TimeForm::Date("%d/%m/%Y")));
        // By their distance: half a day, or half a day and a month.
        let (own, note) =
            form(&["01/03/2024 00:00", "01/03/2024 12:00", "02/03/2024 00:00", "02/03/2024 12:00"]);
        assert_eq!(own, TimeForm::DateTime("%d/%m/%Y %H:%M"));
        assert!(note.is_some_and(|note| note.contains("at a regular distance")));
        // Where neither tells, by what is said.
        for texts in [
            ["01/03/2024", "02/03/2024", "03/03/2024"],
            ["01/02/2024", "02/03/2024", "03/05/2024"],
            ["01/03/2024", "02/01/2024", "01/02/2024"],
        ] {
            assert!(of(&texts, &[], None).expect_err("refused").1.contains("say which"));
            for (first, expected) in [(true, "%d/%m/%Y"), (false, "%m/%d/%Y")] {
                assert_eq!(of(&texts, &[], Some(first)), Ok((TimeForm::Date(expected), None)));
            }
        }
        // What is said does not turn what cannot be otherwise.
        assert_eq!(of(&["01/13/2024"], &[], Some(true)), Ok((TimeForm::Date("%m/%d/%Y"), None)));
    }
}
