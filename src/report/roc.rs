//! The curve of true over false positives, and the exact area under it.

/// The receiver operating characteristic of a score that tells positives from negatives.
#[derive(Clone, Debug, PartialEq)]
pub struct Roc {
    /// (rate of false positives, rate of true positives) at every threshold that changes something, from (0, 0) to (1, 1).
    pub points: Vec<(f64, f64)>,
    /// The area under it.
    pub area: f64,
}

impl Roc {
    /// The curve of scores, each with whether it is of a positive; none where all are, or none is.
    pub fn of(mut scored: Vec<(f32, bool)>) -> Option<Self> {
        let positives = scored.iter().filter(|(_, is_positive)| *is_positive).count();
        let negatives = scored.len() - positives;
        if positives == 0 || negatives == 0 {
            return None;
        }
        scored.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let (mut hits, mut alarms) = (0_usize, 0_usize);
        // Twice the area in whole numbers, so that nothing is lost.
        let mut area = 0_u128;
        let mut corners = vec![(0, 0)];
        for same in scored.chunk_by(|(a, _), (b, _)| a == b) {
            let more_hits = same.iter().filter(|(_, is_positive)| *is_positive).count();
            let more_alarms = same.len() - more_hits;
            area += more_alarms as u128 * (2 * hits + more_hits) as u128;
            (hits, alarms) = (hits + more_hits, alarms + more_alarms);
            // On a straight line only its ends matter.
            if let [.., before, last] = corners.as_slice()
                && straight(*before, *last, (alarms, hits))
            {
                corners.pop();
            }
            corners.push((alarms, hits));
        }
        let rate = |(alarms, hits): (usize, usize)| {
            (alarms as f64 / negatives as f64, hits as f64 / positives as f64)
        };
        let whole = 2 * positives as u128 * negatives as u128;
        Some(Self { points: corners.into_iter().map(rate).collect(), area: area as f64 / whole as f64 })
    }
}

fn straight(a: (usize, usize), b: (usize, usize), c: (usize, usize)) -> bool {
    let step = |from: (usize, usize), to: (usize, usize)| ((to.0 - from.0) as u128, (to.1 - from.1) as u128);
    let (first, second) = (step(a, b), step(b, c));
    first.0 * second.1 == first.1 * second.0
}
