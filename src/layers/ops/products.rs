//! Sums of products along axes (`keras/src/ops/numpy.py`): all of them are sums after Einstein.

use super::kinds::{Numbers, back, together};
use super::row::{Default, Given, Kind, NUMPY, Place, Row, Run, argument, said, shape_of};
use crate::layers::shape::{Checked, Shape, axis_index, check_numbers, show};
use candle_core::{Result, Tensor, bail};
use serde_json::Value;

pub const ROWS: &[Row] = &[
    Row::new(
        NUMPY,
        "Matmul",
        &[],
        Place::By(|_, shapes| Ok(vec![Sum::matmul(shapes)?.output(shapes)?])),
        Run::Two(|_, a, b| run(&[a, b], Sum::matmul)),
    ),
    Row::new(
        NUMPY,
        "Dot",
        &[],
        Place::By(|_, shapes| Ok(vec![Sum::dot(shapes)?.output(shapes)?])),
        Run::Two(|_, a, b| run(&[a, b], Sum::dot)),
    ),
    Row::new(
        NUMPY,
        "Tensordot",
        &[argument("axes", Kind::Pairs, Default::Whole(2))],
        Place::By(|given, shapes| Ok(vec![Sum::tensordot(given, shapes)?.output(shapes)?])),
        Run::Two(|given, a, b| run(&[a, b], |shapes| Sum::tensordot(given, shapes))),
    ),
    Row::new(
        NUMPY,
        "Einsum",
        &[argument("subscripts", Kind::Text, Default::Needed)],
        Place::By(|given, shapes| Ok(vec![Sum::einsum(given, shapes)?.output(shapes)?])),
        Run::Several(|given, tensors| {
            run(&tensors.iter().collect::<Vec<_>>(), |shapes| Sum::einsum(given, shapes))
        }),
    ),
];

/// What is multiplied and summed: a letter an axis, equal letters run together, and what is not in the output is summed.
struct Sum {
    inputs: Vec<Vec<u32>>,
    output: Vec<u32>,
}

fn run(tensors: &[&Tensor], sum: impl Fn(&[Shape]) -> Checked<Sum>) -> Result<Tensor> {
    let shapes: Vec<Shape> = tensors.iter().map(|xs| shape_of(xs)).collect();
    let (tensors, kind) = together(tensors)?;
    let kind = if kind == Numbers::Truths { Numbers::Whole } else { kind };
    back(said(sum(&shapes))?.run(&tensors)?, kind)
}

fn two(shapes: &[Shape]) -> Checked<(&Shape, &Shape)> {
    match shapes {
        [a, b] if !a.is_empty() && !b.is_empty() => Ok((a, b)),
        _ => Err("needs two operands with axes".into()),
    }
}

impl Sum {
    fn matmul(shapes: &[Shape]) -> Checked<Self> {
        let (a, b) = two(shapes)?;
        let (rows, inner, columns) = (u32::MAX, u32::MAX - 1, u32::MAX - 2);
        // The axes in front are counted from the last, so that they meet.
        let front = |shape: &Shape| (0..shape.len().saturating_sub(2) as u32).rev().collect::<Vec<_>>();
        let left = if a.len() == 1 { vec![inner] } else { [front(a), vec![rows, inner]].concat() };
        let right = if b.len() == 1 { vec![inner] } else { [front(b), vec![inner, columns]].concat() };
        let mut output = if front(a).len() > front(b).len() { front(a) } else { front(b) };
        output.extend((a.len() > 1).then_some(rows));
        output.extend((b.len() > 1).then_some(columns));
        Ok(Self { inputs: vec![left, right], output })
    }

    fn dot(shapes: &[Shape]) -> Checked<Self> {
        let (a, b) = two(shapes)?;
        Self::along(a, b, &[a.len() - 1], &[b.len().saturating_sub(2)])
    }

    fn tensordot(given: &Given, shapes: &[Shape]) -> Checked<Self> {
        let (a, b) = two(shapes)?;
        let count = |count: i64| {
            let count = usize::try_from(count).ok().filter(|n| *n <= a.len().min(b.len()));
            let count = count.ok_or_else(|| "axes is more than the operands have".to_string())?;
            Ok::<_, String>(((a.len() - count..a.len()).collect(), (0..count).collect()))
        };
        let list = |value: &Value, rank: usize| -> Checked<Vec<usize>> {
            let axes = match value {
                Value::Array(list) => list.iter().map(Value::as_i64).collect(),
                one => one.as_i64().map(|one| vec![one]),
            };
            let axes: Vec<i64> = axes.ok_or("axes must be whole numbers")?;
            axes.into_iter().map(|axis| axis_index(axis, rank)).collect()
        };
        let (left, right): (Vec<usize>, Vec<usize>) = match given.any("axes") {
            None => count(2)?,
            Some(Value::Array(pair)) => match pair.as_slice() {
                [left, right] => (list(left, a.len())?, list(right, b.len())?),
                _ => return Err("axes must be a number, or a pair".into()),
            },
            Some(one) => count(one.as_i64().unwrap_or(-1))?,
        };
        Self::along(a, b, &left, &right)
    }

    /// Summed over pairs of axes, what is left of both after each other.
    fn along(a: &Shape, b: &Shape, left: &[usize], right: &[usize]) -> Checked<Self> {
        let mut inputs: Vec<Vec<u32>> = vec![(0..a.len() as u32).collect(), vec![]];
        let next = a.len() as u32;
        inputs[1].extend((0..b.len() as u32).map(|axis| next + axis));
        if left.len() != right.len() {
            return Err("axes must name as many axes of both operands".into());
        }
        for (&l, &r) in left.iter().zip(right) {
            inputs[1][r] = l as u32;
        }
        let output: Vec<u32> = (0..next).filter(|axis| !left.contains(&(*axis as usize))).collect();
        let rest = inputs[1].iter().copied().filter(|letter| *letter >= next);
        Ok(Self { output: output.into_iter().chain(rest).collect(), inputs })
    }

    fn einsum(given: &Given, shapes: &[Shape]) -> Checked<Self> {
        let text: String = given.text("subscripts").unwrap_or_default().split_whitespace().collect();
        let wrong = || format!("subscripts `{text}` are no sum that is supported");
        let (inputs, output) = match text.split_once("->") {
            Some((inputs, output)) => (inputs, Some(output)),
            None => (text.as_str(), None),
        };
        let parts: Vec<&str> = inputs.split(',').collect();
        if parts.len() != shapes.len() {
            return Err(format!(
                "subscripts `{text}` are of {} operands, given {}",
                parts.len(),
                shapes.len()
            ));
        }
        let letters = |part: &str, rank: usize| -> Checked<Vec<u32>> {
            let named = part.replace("...", "").chars().count();
            let rest = rank.checked_sub(named).ok_or_else(wrong)?;
            let (before, after) = part.split_once("...").unwrap_or((part, ""));
            if !part.contains("...") && rest != 0 {
                return Err(format!(
                    "subscripts `{text}`: `{part}` names {named} axes, and there are {rank}"
                ));
            }
            let is_letter = |c: char| c.is_ascii_alphabetic();
            if !before.chars().chain(after.chars()).all(is_letter) {
                return Err(wrong());
            }
            // Those behind the dots are counted from the last, so that they meet.
            let dots = (0..rest as u32).rev().map(|axis| 1000 + axis);
            Ok(before.chars().map(u32::from).chain(dots).chain(after.chars().map(u32::from)).collect())
        };
        let inputs = parts
            .iter()
            .zip(shapes)
            .map(|(part, shape)| letters(part, shape.len()))
            .collect::<Checked<Vec<_>>>()?;
        for input in &inputs {
            let mut seen = input.clone();
            seen.sort_unstable();
            seen.dedup();
            if seen.len() != input.len() {
                return Err(format!("subscripts `{text}`: a letter twice in one operand is not supported"));
            }
        }
        let dots =
            inputs.iter().flatten().filter(|letter| **letter >= 1000).max().map_or(0, |last| last - 999);
        let output = match output {
            Some(output) => letters(
                output,
                output.replace("...", "").chars().count()
                    + if output.contains("...") { dots as usize } else { 0 },
            )?,
            // Without an arrow: what stands there once, in the order of the alphabet.
            None => {
                let all: Vec<u32> = inputs.iter().flatten().copied().collect();
                let mut once: Vec<u32> = all
                    .iter()
                    .copied()
                    .filter(|a| *a < 1000 && all.iter().filter(|b| a == *b).count() == 1)
                    .collect();
                once.sort_unstable();
                (0..dots).rev().map(|axis| 1000 + axis).chain(once).collect()
            }
        };
        let known = |letter: &u32| inputs.iter().any(|input| input.contains(letter));
        if !output.iter().all(known) {
            return Err(wrong());
        }
        Ok(Self { inputs, output })
    }

    /// The size of a letter's axis.
    fn size(&self, letter: u32, shapes: &[Shape]) -> Checked<Option<usize>> {
        let mut found = Some(1);
        for (input, shape) in self.inputs.iter().zip(shapes) {
            let Some(axis) = input.iter().position(|known| *known == letter) else { continue };
            found = match (found, shape.get(axis).copied().flatten()) {
                (Some(1), size) => size,
                (size, Some(1)) => size,
                (Some(a), Some(b)) if a == b => Some(a),
                (None, size) | (size, None) => size,
                _ => {
                    let shapes: Vec<String> = shapes.iter().map(|shape| show(shape)).collect();
                    return Err(format!("its operands {} do not fit each other", shapes.join(" and ")));
                }
            };
        }
        Ok(found)
    }

    fn output(&self, shapes: &[Shape]) -> Checked<Shape> {
        for letter in self.inputs.iter().flatten() {
            self.size(*letter, shapes)?;
        }
        self.output.iter().map(|letter| self.size(*letter, shapes)).collect()
    }

    /// Two at a time, from the first on.
    fn run(&self, tensors: &[Tensor]) -> Result<Tensor> {
        let mut operands = self.inputs.iter().cloned().zip(tensors.iter().cloned());
        let Some((mut letters, mut xs)) = operands.next() else { bail!("Einsum: needs an operand") };
        let mut others: Vec<(Vec<u32>, Tensor)> = operands.collect();
        while !others.is_empty() {
            let (right, ys) = others.remove(0);
            let needed = |letter: &u32| {
                self.output.contains(letter) || others.iter().any(|(other, _)| other.contains(letter))
            };
            (letters, xs) = joined((letters, xs), (right, ys), needed)?;
        }
        let (letters, xs) = summed(letters, xs, |letter| self.output.contains(letter))?;
        arranged(&letters, &xs, &self.output)
    }
}

/// Without the axes that nobody needs, which are summed.
fn summed(letters: Vec<u32>, xs: Tensor, needed: impl Fn(&u32) -> bool) -> Result<(Vec<u32>, Tensor)> {
    let axes: Vec<usize> = (0..letters.len()).filter(|&axis| !needed(&letters[axis])).collect();
    if axes.is_empty() {
        return Ok((letters, xs));
    }
    Ok((letters.into_iter().filter(|letter| needed(letter)).collect(), xs.sum(axes)?))
}

/// The axes in the order of `wanted`, those that are missing as axes of 1.
fn arranged(letters: &[u32], xs: &Tensor, wanted: &[u32]) -> Result<Tensor> {
    let there: Vec<u32> = wanted.iter().copied().filter(|letter| letters.contains(letter)).collect();
    let order: Vec<usize> =
        there.iter().filter_map(|letter| letters.iter().position(|own| own == letter)).collect();
    let mut xs = if order.len() > 1 { xs.permute(order)? } else { xs.clone() };
    for (axis, letter) in wanted.iter().enumerate() {
        if !letters.contains(letter) {
            xs = xs.unsqueeze(axis)?;
        }
    }
    xs.contiguous()
}

/// The product of two operands as one product of matrices: what both have and the output keeps is the batch.
fn joined(
    (left, xs): (Vec<u32>, Tensor),
    (right, ys): (Vec<u32>, Tensor),
    needed: impl Fn(&u32) -> bool,
) -> Result<(Vec<u32>, Tensor)> {
    // An axis of 1 meets one of any size; it takes part in no sum.
    let (left, xs) = without_ones(left, xs, &right, &ys)?;
    let (right, ys) = without_ones(right, ys, &left, &xs)?;
    let (left, xs) = summed(left, xs, |letter| needed(letter) || right.contains(letter))?;
    let (right, ys) = summed(right, ys, |letter| needed(letter) || left.contains(letter))?;
    let both = |letter: &u32| left.contains(letter) && right.contains(letter);
    let pick = |of: &[u32], keep: &dyn Fn(&u32) -> bool| of.iter().copied().filter(keep).collect::<Vec<_>>();
    let batch = pick(&left, &|letter| both(letter) && needed(letter));
    let inner = pick(&left, &|letter| both(letter) && !needed(letter));
    let rows = pick(&left, &|letter| !both(letter));
    let columns = pick(&right, &|letter| !both(letter));
    let a = arranged(&left, &xs, &[batch.clone(), rows.clone(), inner.clone()].concat())?;
    let b = arranged(&right, &ys, &[batch.clone(), inner.clone(), columns.clone()].concat())?;
    let sizes = |xs: &Tensor, from: usize, count: usize| xs.dims()[from..from + count].to_vec();
    let (n, m, k) = (batch.len(), rows.len(), inner.len());
    let batch_sizes = sizes(&a, 0, n);
    let (row_sizes, column_sizes) = (sizes(&a, n, m), sizes(&b, n + k, columns.len()));
    let shape = [batch_sizes.clone(), row_sizes.clone(), column_sizes.clone()].concat();
    check_numbers(&shape)?;
    let count = |sizes: &[usize]| sizes.iter().product::<usize>();
    let (outer, high, wide, deep) =
        (count(&batch_sizes), count(&row_sizes), count(&column_sizes), count(&sizes(&a, n + m, k)));
    let product = a.reshape((outer, high, deep))?.matmul(&b.reshape((outer, deep, wide))?)?;
    Ok(([batch, rows, columns].concat(), product.reshape(shape)?))
}

/// Without the axes of 1 that meet larger ones.
fn without_ones(letters: Vec<u32>, xs: Tensor, others: &[u32], ys: &Tensor) -> Result<(Vec<u32>, Tensor)> {
    let meets = |axis: usize| {
        let other = others.iter().position(|letter| *letter == letters[axis]);
        xs.dims()[axis] == 1 && other.is_some_and(|other| ys.dims()[other] > 1)
    };
    let axes: Vec<usize> = (0..letters.len()).filter(|&axis| meets(axis)).collect();
    let mut kept = letters.clone();
    let mut narrow = xs.clone();
    for axis in axes.into_iter().rev() {
        kept.remove(axis);
        narrow = narrow.squeeze(axis)?;
    }
    Ok((kept, narrow))
}
