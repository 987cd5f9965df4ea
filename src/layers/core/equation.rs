//! The equation of an `EinsumDense`: what it makes of shapes (`_analyze_einsum_string` in
//! `keras/src/layers/core/einsum_dense.py`), and its product.

use crate::layers::product::product;
use crate::layers::shape::{Checked, Shape, check_numbers, show};
use candle_core::{Result, Tensor};

/// Axes of the input, the kernel and the output, a letter each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Equation {
    input: Vec<char>,
    kernel: Vec<char>,
    output: Vec<char>,
    elided: Elided,
}

/// Where `...` stands for axes that stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Elided {
    Nowhere,
    Before,
    After,
}

/// What follows from an equation for the shapes.
#[derive(Debug)]
pub(super) struct Sizes {
    pub kernel: Vec<usize>,
    pub bias: Option<Vec<usize>>,
    pub output: Shape,
    /// Numbers that go into and come out of a place of the kernel.
    pub fans: (f64, f64),
}

impl Equation {
    /// Reads `abc,cd->abd`.
    pub fn parse(text: &str) -> Checked<Self> {
        let wrong = || {
            format!(
                "equation `{text}` is none of the forms `ab,bc->ac`, `...b,bc->...c` and `ab...,bc->ac...`, with letters that \
                 stand once in each part"
            )
        };
        let (inputs, output) = text.split_once("->").ok_or_else(wrong)?;
        let (input, kernel) = inputs.split_once(',').ok_or_else(wrong)?;
        let (elided, input, output) = match (input.strip_prefix("..."), input.strip_suffix("...")) {
            (Some(input), _) => (Elided::Before, input, output.strip_prefix("...").ok_or_else(wrong)?),
            (_, Some(input)) => (Elided::After, input, output.strip_suffix("...").ok_or_else(wrong)?),
            _ => (Elided::Nowhere, input, output),
        };
        let letters = |part: &str| -> Checked<Vec<char>> {
            let letters: Vec<char> = part.chars().collect();
            let once = letters.iter().enumerate().all(|(at, letter)| !letters[..at].contains(letter));
            match !letters.is_empty() && once && letters.iter().all(char::is_ascii_alphabetic) {
                true => Ok(letters),
                false => Err(wrong()),
            }
        };
        let it = Self { input: letters(input)?, kernel: letters(kernel)?, output: letters(output)?, elided };
        if let Some(letter) = it.output.iter().find(|l| !it.input.contains(l) && !it.kernel.contains(l)) {
            return Err(format!(
                "equation `{text}`: the output's `{letter}` is neither in the input nor in the kernel"
            ));
        }
        if let Some(letter) = it.kernel.iter().find(|l| !it.input.contains(l) && !it.output.contains(l)) {
            return Err(format!(
                "equation `{text}`: the kernel's `{letter}` is neither in the input nor in the output"
            ));
        }
        // The batch is the first axis of both, and no axis of the kernel.
        let is_batch = it.input.first() == it.output.first()
            && it.input.first().is_some_and(|batch| !it.kernel.contains(batch));
        match elided == Elided::Before || is_batch {
            true => Ok(it),
            false => Err(format!(
                "equation `{text}`: the first letter, the batch, must be the first of the output too and not in the kernel"
            )),
        }
    }

    /// Says which letter of `bias_axes` is no axis of the output.
    pub fn check_bias(&self, bias_axes: Option<&str>) -> Checked<()> {
        let Some(axes) = bias_axes else { return Ok(()) };
        match axes.chars().find(|letter| !self.output.contains(letter)) {
            Some(letter) => Err(format!("bias_axes `{axes}`: `{letter}` is no axis of the output")),
            None if axes.is_empty() => Err("bias_axes needs at least one letter, or null for no bias".into()),
            None => Ok(()),
        }
    }

    /// How many axes `...` stands for.
    pub fn elided(&self, rank: usize) -> Option<usize> {
        let elided = rank.checked_sub(self.input.len())?;
        (elided == 0 || self.elided != Elided::Nowhere).then_some(elided)
    }

    /// The shapes of the variables and the output, for an `input` and the output's axes after the batch.
    pub fn sizes(
        &self,
        input: &[Option<usize>],
        given: &[Option<usize>],
        bias: Option<&str>,
    ) -> Checked<Sizes> {
        let misfit =
            |what: &str| format!("{what} for the input {} and output_shape {}", show(input), show(given));
        let elided = self.elided(input.len()).ok_or_else(|| misfit("equation has another number of axes"))?;
        let (before, after) = match self.elided {
            Elided::Before => (elided, 0),
            Elided::Nowhere | Elided::After => (0, elided),
        };
        let batch = input.first().copied().ok_or_else(|| misfit("equation has no batch"))?;
        // The output as Keras has it: the batch, what `...` stands for, and what is given.
        let mut output = vec![batch];
        output.extend(input.iter().take(before).skip(1));
        output.extend(given);
        output.extend(&input[input.len() - after..]);
        if output.len() != self.output.len() + elided {
            return Err(misfit("equation has another number of the output's axes"));
        }
        let of_input = |letter: &char| {
            self.input.iter().position(|l| l == letter).and_then(|at| input.get(at + before).copied())
        };
        let place = |letter: &char| self.output.iter().position(|l| l == letter).map(|at| at + before);
        for letter in &self.input {
            let (Some(length), Some(at)) = (of_input(letter), place(letter)) else { continue };
            match output[at] {
                // What is left open has the input's length.
                None => output[at] = length,
                given if given == length => {}
                _ => return Err(misfit(&format!("equation's axis `{letter}` has two lengths"))),
            }
        }
        let (mut kernel, mut fans) = (vec![], (1.0, 1.0));
        for letter in &self.kernel {
            let is_output = place(letter);
            let length = is_output.and_then(|at| output[at]).or_else(|| of_input(letter).flatten());
            let length = length.filter(|&length| length > 0);
            let length = length
                .ok_or_else(|| misfit(&format!("length of the kernel's axis `{letter}` is not known")))?;
            match is_output {
                Some(_) => fans.1 *= length as f64,
                None => fans.0 *= length as f64,
            }
            kernel.push(length);
        }
        let bias = bias.map(|axes| {
            let first = self.output.iter().position(|letter| axes.contains(*letter)).unwrap_or_default();
            let along = self.output.iter().enumerate().skip(first).map(|(at, letter)| {
                if !axes.contains(*letter) {
                    return Ok(1);
                }
                output[at + before]
                    .ok_or_else(|| misfit(&format!("length of the bias's axis `{letter}` is not known")))
            });
            along.chain(std::iter::repeat_n(Ok(1), after)).collect::<Checked<Vec<usize>>>()
        });
        Ok(Sizes { kernel, bias: bias.transpose()?, output, fans })
    }

    /// How many axes at the end of the input and at the begin of the kernel are summed over, where the equation is rows
    /// times a matrix and nothing changes its place.
    pub fn as_rows(&self) -> Option<usize> {
        let (input, kernel) = (&self.input, &self.kernel);
        let fits = |&summed: &usize| {
            let (free, last) = input.split_at(input.len() - summed);
            let (first, given) = kernel.split_at(summed);
            last == first && self.output == [free, given].concat()
        };
        (self.elided != Elided::After).then(|| (1..=input.len().min(kernel.len())).find(fits)).flatten()
    }

    /// The sums of products that the equation asks for; none where the tensors do not fit it.
    pub fn product(&self, xs: &Tensor, kernel: &Tensor) -> Result<Option<Tensor>> {
        let Some(elided) = self.elided(xs.rank()) else { return Ok(None) };
        if kernel.rank() != self.kernel.len() {
            return Ok(None);
        }
        // Axes as labels: letters, and numbers for what `...` stands for.
        let dots: Vec<Label> = (0..elided).map(Label::Dot).collect();
        let letters = |letters: &[char]| letters.iter().copied().map(Label::Letter).collect::<Vec<_>>();
        let around = |part: &[char]| match self.elided {
            Elided::Before => [dots.clone(), letters(part)].concat(),
            Elided::Nowhere | Elided::After => [letters(part), dots.clone()].concat(),
        };
        let (input, weights, output) = (around(&self.input), letters(&self.kernel), around(&self.output));
        let in_kernel = |label: &&Label| weights.contains(label);
        let in_output = |label: &&Label| output.contains(label);
        // What is in the input alone is summed first.
        let alone: Vec<usize> =
            (0..input.len()).filter(|&axis| !in_kernel(&&input[axis]) && !in_output(&&input[axis])).collect();
        let xs = if alone.is_empty() { xs.clone() } else { xs.sum(alone)? };
        let input: Vec<Label> =
            input.into_iter().filter(|label| in_kernel(&label) || in_output(&label)).collect();
        let pick = |labels: &[Label], wanted: &dyn Fn(&&Label) -> bool| -> Vec<Label> {
            labels.iter().filter(|label| wanted(label)).copied().collect()
        };
        let shared = pick(&input, &|label| in_kernel(label) && in_output(label));
        let free = pick(&input, &|label| !in_kernel(label));
        let summed = pick(&input, &|label| in_kernel(label) && !in_output(label));
        let given = pick(&weights, &|label| !input.contains(label));
        let left = ordered(&xs, &input, &[&shared, &free, &summed])?;
        let right = ordered(kernel, &weights, &[&shared, &summed, &given])?;
        let ((left, [s, rows, inner]), (right, [t, other, columns])) = (left, right);
        if (s, inner) != (t, other) {
            return Ok(None);
        }
        check_numbers(&[s, rows, columns])?;
        let mut lengths: Vec<usize> = vec![];
        let length = |label: &Label| {
            let of = |labels: &[Label], tensor: &Tensor| {
                labels.iter().position(|l| l == label).map(|axis| tensor.dim(axis)).transpose()
            };
            Ok::<usize, candle_core::Error>(match of(&input, &xs)? {
                Some(length) => length,
                None => of(&weights, kernel)?.unwrap_or(1),
            })
        };
        let made = [shared, free, given].concat();
        for label in &made {
            lengths.push(length(label)?);
        }
        let ys = match s {
            1 => {
                let left = left.reshape((rows, inner))?.into();
                product(&left, &right.reshape((inner, columns))?, None)?.tensor().clone()
            }
            _ => left.matmul(&right)?,
        };
        let ys = ys.reshape(lengths)?;
        let order: Vec<usize> =
            output.iter().filter_map(|label| made.iter().position(|made| made == label)).collect();
        ys.permute(order)?.contiguous().map(Some)
    }
}

/// An axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Label {
    Letter(char),
    Dot(usize),
}

/// The axes in the order of three groups, each group as one axis; and their lengths.
fn ordered(xs: &Tensor, labels: &[Label], groups: &[&[Label]; 3]) -> Result<(Tensor, [usize; 3])> {
    let at = |label: &Label| labels.iter().position(|l| l == label);
    let order: Vec<usize> = groups.iter().copied().flatten().filter_map(at).collect();
    let mut lengths = [1; 3];
    for (length, group) in lengths.iter_mut().zip(groups) {
        for label in group.iter() {
            *length *= at(label).map_or(Ok(1), |axis| xs.dim(axis))?;
        }
    }
    Ok((xs.permute(order)?.contiguous()?.reshape(&lengths)?, lengths))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_equation_is_said() {
        for text in [
            "",
            "ab",
            "ab,bc",
            "ab->ac",
            "ab,bc,cd->ad",
            "a1,1b->ab",
            "aab,bc->ac",
            "...a,ab->b",
            "ab,bc->",
            "αβ,βγ->αγ",
        ] {
            assert!(Equation::parse(text).unwrap_err().contains("none of the forms"), "{text}");
        }
        for (text, what) in [
            ("ab,bc->acd", "output's `d`"),
            ("ab,bcd->ac", "kernel's `d`"),
            ("ab,bc->ca", "the first letter"),
            ("ab,ac->ac", "the first letter"),
        ] {
            let error = Equation::parse(text).unwrap_err();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn shapes_follow_as_in_keras() {
        let sizes = |equation: &str, input: &[usize], output: &[Option<usize>], bias: Option<&str>| {
            let mut shape: Shape = input.iter().map(|&n| Some(n)).collect();
            shape[0] = None;
            Equation::parse(equation).unwrap().sizes(&shape, output, bias)
        };
        let found = sizes("abc,cde->abde", &[0, 4, 6], &[None, Some(2), Some(3)], Some("de")).unwrap();
        assert_eq!((found.kernel, found.bias), (vec![6, 2, 3], Some(vec![2, 3])));
        assert_eq!((found.output, found.fans), (vec![None, Some(4), Some(2), Some(3)], (6.0, 6.0)));
        let found = sizes("...ab,bc->...ac", &[0, 5, 4, 6], &[Some(4), Some(3)], Some("a")).unwrap();
        assert_eq!((found.kernel, found.bias), (vec![6, 3], Some(vec![4, 1])));
        assert_eq!(found.output, [None, Some(5), Some(4), Some(3)]);
        let found = sizes("ab...,bc->ac...", &[0, 6, 4], &[Some(3)], Some("c")).unwrap();
        assert_eq!((found.bias, found.output), (Some(vec![3, 1]), vec![None, Some(3), Some(4)]));
        for (equation, input, output) in [
            ("abc,cd->abd", vec![0, 4], vec![Some(4), Some(2)]),
            ("abc,cd->abd", vec![0, 4, 3], vec![Some(5), Some(2)]),
            ("abc,cd->abd", vec![0, 4, 3], vec![Some(2)]),
            ("abc,cd->abd", vec![0, 4, 3], vec![Some(4), None]),
        ] {
            let error = sizes(equation, &input, &output, None).unwrap_err();
            assert!(error.contains("output_shape"), "{error}");
        }
    }
}
