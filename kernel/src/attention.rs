//! Attention: scores of queries and keys, their softmax, and the means of values that it weighs. A sample's head at a time,
//! so that its scores stay in the cache; the way back computes them again.

use crate::activation::Activation;
use crate::buffer::Buffer;
use crate::elementwise::{activate, softmax, softmax_back};
use crate::matmul::{Gradient, Matrix, Operand, Places, Product, Run, Start};
use crate::vectorized::vectorized;
use rayon::prelude::*;

/// Multiplications from which several threads share the samples.
const PARALLEL: usize = 1 << 18;
/// What Keras takes off scores that a mask hides, or puts in their place with the other sign.
const FAR: f32 = 1e9;

/// What becomes of scores that a mask hides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// 10⁹ is taken off them.
    TakenOff,
    /// -10⁹ stands for them.
    Replaced,
    /// The same, and their weights are 0, also where a step sees nothing.
    Nothing,
}

/// What the steps of queries see.
#[derive(Clone, Debug)]
pub struct Visible {
    /// 0 where a place is hidden; the places of a step lie one after another.
    pub seen: Vec<u8>,
    /// From a sample to the next, from a head to the next, from a step to the next; 0 where it is the same for all.
    pub strides: [usize; 3],
    /// What becomes of hidden places.
    pub hidden: Hidden,
}

/// From scores to means of values.
#[derive(Clone, Debug)]
pub struct Attention {
    /// Samples.
    pub batch: usize,
    /// Heads of a sample.
    pub heads: usize,
    /// Steps of the queries.
    pub steps: usize,
    /// Steps of the keys and values.
    pub places: usize,
    /// Features of a query and a key.
    pub dim: usize,
    /// Features of a value.
    pub features: usize,
    /// What scores are multiplied with.
    pub scale: f32,
    /// What the steps see; all where there is none.
    pub visible: Option<Visible>,
    /// What the weights (batch, heads, steps, places) are multiplied with: dropout.
    pub factors: Option<Vec<f32>>,
    /// (batch, steps): 0 where a step gives 0.
    pub there: Option<Vec<u8>>,
}

/// Where the scores come from.
#[derive(Clone, Copy)]
enum Scores<'a> {
    /// Queries (batch, steps, heads, dim) and keys (batch, places, heads, dim).
    Of(&'a [f32], &'a [f32]),
    /// (batch, heads, steps, places)
    Given(&'a [f32]),
}

/// A sample's parts of three gradients.
type Parts<'a> = ((&'a mut [f32], &'a mut [f32]), &'a mut [f32]);

impl Attention {
    /// The means of `v` (batch, places, heads, features) for queries `q` (batch, steps, heads, dim) and keys `k` (batch,
    /// places, heads, dim): (batch, steps, heads, features).
    pub fn forward(&self, q: &[f32], k: &[f32], v: &[f32], out: &mut [f32]) {
        self.means(Scores::Of(q, k), v, out);
    }

    /// The gradients of `q`, `k` and `v` from that of the output.
    pub fn backward(&self, q: &[f32], k: &[f32], v: &[f32], d: &[f32]) -> [Vec<f32>; 3] {
        let mut gradients = [vec![0.0; q.len()], vec![0.0; k.len()], vec![0.0; v.len()]];
        let [d_q, d_k, d_v] = &mut gradients;
        let sample = |(at, ((d_q, d_k), d_v)): (usize, Parts<'_>)| {
            let (q, k) = (part(q, at, d_q.len()), part(k, at, d_k.len()));
            let mut buffers = Buffers::new(self);
            for head in 0..self.heads {
                self.scores(q, k, head, &mut buffers.scores);
                self.back(at, head, v, d, &mut buffers, d_v);
                let scale = self.scale;
                if scale != 1.0 {
                    scaled(scale, &mut buffers.d);
                }
                let (wide, first) = (self.heads * self.dim, head * self.dim);
                Product {
                    a: rows(&buffers.d, self.steps, self.places, &run(self.places)),
                    b: Matrix {
                        floats: k,
                        bases: &[first],
                        len: self.places,
                        feature_step: wide,
                        column_step: 1,
                        columns: self.dim,
                    },
                    start: Start::Zeros,
                    places: Places::every(wide),
                    few: false,
                }
                .run(&mut d_q[first..]);
                Gradient {
                    a: rows(&buffers.d, self.steps, self.places, &run(self.places)),
                    d: &q[first..],
                    places: Places::every(wide),
                    columns: self.dim,
                }
                .run(&mut d_k[first..], wide, &mut []);
            }
        };
        let [of_q, of_k, of_v] = [self.steps * self.dim, self.places * self.dim, self.places * self.features]
            .map(|size| size * self.heads);
        let parts = (d_q.par_chunks_mut(of_q).zip(d_k.par_chunks_mut(of_k))).zip(d_v.par_chunks_mut(of_v));
        match self.parallel() {
            true => parts.enumerate().for_each(sample),
            false => {
                let parts = (d_q.chunks_mut(of_q).zip(d_k.chunks_mut(of_k))).zip(d_v.chunks_mut(of_v));
                parts.enumerate().for_each(sample);
            }
        }
        gradients
    }

    /// The means of `v` by scores (batch, heads, steps, places).
    pub fn weigh(&self, scores: &[f32], v: &[f32], out: &mut [f32]) {
        self.means(Scores::Given(scores), v, out);
    }

    /// The gradients of the scores and of `v` from that of the means.
    pub fn weigh_back(&self, scores: &[f32], v: &[f32], d: &[f32]) -> [Vec<f32>; 2] {
        let mut gradients = [vec![0.0; scores.len()], vec![0.0; v.len()]];
        let [d_scores, d_v] = &mut gradients;
        let size = self.steps * self.places;
        let sample = |(at, (d_scores, d_v)): (usize, (&mut [f32], &mut [f32]))| {
            let mut buffers = Buffers::new(self);
            for head in 0..self.heads {
                buffers.scores.copy_from_slice(part(scores, at * self.heads + head, size));
                if self.scale != 1.0 {
                    scaled(self.scale, &mut buffers.scores);
                }
                self.back(at, head, v, d, &mut buffers, d_v);
                if self.scale != 1.0 {
                    scaled(self.scale, &mut buffers.d);
                }
                d_scores[head * size..][..size].copy_from_slice(&buffers.d);
            }
        };
        let [of_scores, of_v] = [size, self.places * self.features].map(|size| size * self.heads);
        match self.parallel() {
            true => {
                let parts = d_scores.par_chunks_mut(of_scores).zip(d_v.par_chunks_mut(of_v));
                parts.enumerate().for_each(sample);
            }
            false => d_scores.chunks_mut(of_scores).zip(d_v.chunks_mut(of_v)).enumerate().for_each(sample),
        }
        gradients
    }

    fn parallel(&self) -> bool {
        let each = self.heads * self.steps * self.places * (self.dim + self.features);
        self.batch.saturating_mul(each) >= PARALLEL
    }

    fn means(&self, scores: Scores<'_>, v: &[f32], out: &mut [f32]) {
        let size = self.steps * self.heads * self.features;
        let sample = |(at, out): (usize, &mut [f32])| {
            let v = part(v, at, self.places * self.heads * self.features);
            let mut buffers = Buffers::new(self);
            for head in 0..self.heads {
                self.fill(scores, at, head, &mut buffers.scores);
                self.weights(at, head, &mut buffers);
                let (wide, first) = (self.heads * self.features, head * self.features);
                Product {
                    a: rows(buffers.dropped(), self.steps, self.places, &run(self.places)),
                    b: Matrix {
                        floats: v,
                        bases: &[first],
                        len: self.places,
                        feature_step: wide,
                        column_step: 1,
                        columns: self.features,
                    },
                    start: Start::Zeros,
                    places: Places::every(wide),
                    few: false,
                }
                .run(&mut out[first..]);
            }
            if let Some(there) = &self.there {
                let wide = self.heads * self.features;
                for (out, &there) in out.chunks_exact_mut(wide).zip(part(there, at, self.steps)) {
                    if there == 0 {
                        out.fill(0.0);
                    }
                }
            }
        };
        match self.parallel() {
            true => out.par_chunks_mut(size).enumerate().for_each(sample),
            false => out.chunks_mut(size).enumerate().for_each(sample),
        }
    }

    fn fill(&self, scores: Scores<'_>, at: usize, head: usize, into: &mut [f32]) {
        match scores {
            Scores::Of(q, k) => {
                let q = part(q, at, self.steps * self.heads * self.dim);
                self.scores(q, part(k, at, self.places * self.heads * self.dim), head, into);
            }
            Scores::Given(scores) => {
                into.copy_from_slice(part(scores, at * self.heads + head, self.steps * self.places));
                if self.scale != 1.0 {
                    scaled(self.scale, into);
                }
            }
        }
    }

    /// (steps, places) of a sample's head.
    fn scores(&self, q: &[f32], k: &[f32], head: usize, into: &mut [f32]) {
        let (wide, first) = (self.heads * self.dim, head * self.dim);
        Product {
            a: rows(&q[first..], self.steps, wide, &run(self.dim)),
            b: Matrix {
                floats: k,
                bases: &[first],
                len: self.dim,
                feature_step: 1,
                column_step: wide,
                columns: self.places,
            },
            start: Start::Zeros,
            places: Places::every(self.places),
            few: false,
        }
        .run(into);
        if self.scale != 1.0 {
            scaled(self.scale, into);
        }
    }

    /// The weights of scores, which are hidden in place; and the weights with their dropout.
    fn weights(&self, at: usize, head: usize, buffers: &mut Buffers) {
        let (steps, places) = (self.steps, self.places);
        if let Some(visible) = &self.visible {
            for step in 0..steps {
                visible.hide(
                    visible.row(at, head, step, places),
                    &mut buffers.scores[step * places..][..places],
                );
            }
        }
        softmax(places, false, &buffers.scores, &mut buffers.weights);
        if let Some(visible) = self.visible.as_ref().filter(|visible| visible.hidden == Hidden::Nothing) {
            for step in 0..steps {
                let row = visible.row(at, head, step, places);
                blank(row, &mut buffers.weights[step * places..][..places]);
            }
        }
        if let (Some(factors), Some(dropped)) = (&self.factors, &mut buffers.dropped) {
            let factors = part(factors, at * self.heads + head, steps * places);
            dropped.copy_from_slice(&buffers.weights);
            multiplied(factors, dropped);
        }
    }

    /// From scores to their gradient, `buffers.d`, and the gradient of the values.
    fn back(&self, at: usize, head: usize, v: &[f32], d: &[f32], buffers: &mut Buffers, d_v: &mut [f32]) {
        let (steps, places) = (self.steps, self.places);
        let (wide, first) = (self.heads * self.features, head * self.features);
        self.weights(at, head, buffers);
        let (v, mut d) = (part(v, at, places * wide), part(d, at, steps * wide));
        let mut rest = Buffer::new(0);
        if let Some(there) = &self.there {
            rest = Buffer::new(d.len());
            rest.copy_from_slice(d);
            for (d, &there) in rest.chunks_exact_mut(wide).zip(part(there, at, steps)) {
                if there == 0 {
                    d.fill(0.0);
                }
            }
        }
        if self.there.is_some() {
            d = &rest;
        }
        Gradient {
            a: rows(buffers.dropped(), steps, places, &run(places)),
            d: &d[first..],
            places: Places::every(wide),
            columns: self.features,
        }
        .run(&mut d_v[first..], wide, &mut []);
        Product {
            a: rows(&d[first..], steps, wide, &run(self.features)),
            b: Matrix {
                floats: v,
                bases: &[first],
                len: self.features,
                feature_step: 1,
                column_step: wide,
                columns: places,
            },
            start: Start::Zeros,
            places: Places::every(places),
            few: false,
        }
        .run(&mut buffers.d);
        if let Some(factors) = &self.factors {
            let factors = part(factors, at * self.heads + head, steps * places);
            multiplied(factors, &mut buffers.d);
        }
        let visible = self.visible.as_ref();
        let each_step = |visible: &Visible, numbers: &mut [f32]| {
            for step in 0..steps {
                blank(visible.row(at, head, step, places), &mut numbers[step * places..][..places]);
            }
        };
        if let Some(visible) = visible.filter(|visible| visible.hidden == Hidden::Nothing) {
            // The weights that were put to 0 count in the sum all the same.
            each_step(visible, &mut buffers.d);
            softmax(places, false, &buffers.scores, &mut buffers.weights);
        }
        softmax_back(places, false, &buffers.weights, &mut buffers.d);
        if let Some(visible) = visible.filter(|visible| visible.hidden != Hidden::TakenOff) {
            each_step(visible, &mut buffers.d);
        }
    }
}

impl Visible {
    fn row(&self, at: usize, head: usize, step: usize, places: usize) -> &[u8] {
        let [of_sample, of_head, of_step] = self.strides;
        &self.seen[at * of_sample + head * of_head + step * of_step..][..places]
    }

    fn hide(&self, seen: &[u8], scores: &mut [f32]) {
        let keep = if self.hidden == Hidden::TakenOff { 1.0 } else { 0.0 };
        hide(keep, seen, scores);
    }
}

/// What a thread works in, a head at a time: all (steps, places).
struct Buffers {
    scores: Buffer,
    weights: Buffer,
    dropped: Option<Buffer>,
    d: Buffer,
}

impl Buffers {
    fn new(of: &Attention) -> Self {
        let size = of.steps * of.places;
        let dropped = of.factors.is_some().then(|| Buffer::new(size));
        Self { scores: Buffer::new(size), weights: Buffer::new(size), dropped, d: Buffer::new(size) }
    }

    fn dropped(&self) -> &[f32] {
        self.dropped.as_ref().unwrap_or(&self.weights)
    }
}

fn part<T>(of: &[T], at: usize, size: usize) -> &[T] {
    &of[at * size..][..size]
}

/// So many rows of features, `wide` floats from one to the next.
fn rows<'a>(floats: &'a [f32], count: usize, wide: usize, features: &'a [Run; 1]) -> Operand<'a> {
    Operand { floats, rows: count, places: Places::every(wide), runs: features }
}

fn run(len: usize) -> [Run; 1] {
    [Run { offset: 0, len }]
}

vectorized! {
    fn scaled<'a>(scale: f32, numbers: &'a mut [f32]) {
        for number in numbers {
            *number *= scale;
        }
    }
}

vectorized! {
    fn multiplied<'a>(factors: &'a [f32], numbers: &'a mut [f32]) {
        let factors = &factors[..numbers.len()];
        for i in 0..numbers.len() {
            numbers[i] *= factors[i];
        }
    }
}

vectorized! {
    fn hide<'a>(keep: f32, seen: &'a [u8], scores: &'a mut [f32]) {
        let seen = &seen[..scores.len()];
        for i in 0..scores.len() {
            let score = scores[i];
            let low = if keep == 0.0 { -FAR } else { score - FAR };
            scores[i] = if seen[i] != 0 { score } else { low };
        }
    }
}

vectorized! {
    fn blank<'a>(seen: &'a [u8], numbers: &'a mut [f32]) {
        let seen = &seen[..numbers.len()];
        for i in 0..numbers.len() {
            let number = numbers[i];
            numbers[i] = if seen[i] != 0 { number } else { 0.0 };
        }
    }
}

/// Bahdanau's scores: the sum of scale · tanh(query + key) over the features.
#[derive(Clone, Copy, Debug)]
pub struct AdditiveScores {
    /// Steps of the queries.
    pub steps: usize,
    /// Steps of the keys.
    pub places: usize,
    /// Features of both.
    pub dim: usize,
}

impl AdditiveScores {
    fn parallel(&self, q: &[f32]) -> bool {
        q.len().saturating_mul(self.places) >= PARALLEL / 8
    }

    /// The scores (batch, steps, places) of `q` (batch, steps, dim) and `k` (batch, places, dim); `scale` is (dim).
    pub fn forward(&self, q: &[f32], k: &[f32], scale: &[f32], out: &mut [f32]) {
        let Self { steps, places, dim } = *self;
        let sample = |(at, out): (usize, &mut [f32])| {
            let (q, k) = (part(q, at, steps * dim), part(k, at, places * dim));
            let (mut sums, mut values) = (Buffer::new(places * dim), Buffer::new(places * dim));
            // Places in the lanes: what is added up for a place is added feature after feature.
            let mut columns = Buffer::new(places * dim);
            for place in 0..places {
                for feature in 0..dim {
                    columns[feature * places + place] = k[place * dim + feature];
                }
            }
            for step in 0..steps {
                add_to_rows(places, part(q, step, dim), &columns, &mut sums);
                activate(Activation::Tanh, &sums, &mut values);
                weigh_rows(scale, &values, &mut out[step * places..][..places]);
            }
        };
        match self.parallel(q) {
            true => out.par_chunks_mut(steps * places).enumerate().for_each(sample),
            false => out.chunks_mut(steps * places).enumerate().for_each(sample),
        }
    }

    /// The gradients of `q`, `k` and `scale` from that of the scores.
    pub fn backward(&self, q: &[f32], k: &[f32], scale: &[f32], d: &[f32]) -> [Vec<f32>; 3] {
        let Self { steps, places, dim } = *self;
        let (mut d_q, mut d_k) = (vec![0.0; q.len()], vec![0.0; k.len()]);
        let batch = q.len() / (steps * dim).max(1);
        let mut shares = vec![0.0; batch * dim];
        let sample = |(at, ((d_q, d_k), share)): (usize, Parts<'_>)| {
            let (q, k) = (part(q, at, steps * dim), part(k, at, places * dim));
            let (mut sums, mut values) = (Buffer::new(places * dim), Buffer::new(places * dim));
            for step in 0..steps {
                add_to_each_row(part(q, step, dim), k, &mut sums);
                activate(Activation::Tanh, &sums, &mut values);
                let d = part(part(d, at, steps * places), step, places);
                scores_back(scale, &values, d, &mut d_q[step * dim..][..dim], d_k, share);
            }
        };
        match self.parallel(q) {
            true => {
                let parts = d_q.par_chunks_mut(steps * dim).zip(d_k.par_chunks_mut(places * dim));
                parts.zip(shares.par_chunks_mut(dim)).enumerate().for_each(sample);
            }
            false => {
                let parts = d_q.chunks_mut(steps * dim).zip(d_k.chunks_mut(places * dim));
                parts.zip(shares.chunks_mut(dim)).enumerate().for_each(sample);
            }
        }
        let mut total = vec![0.0f64; dim];
        for share in shares.chunks_exact(dim) {
            for (total, &share) in total.iter_mut().zip(share) {
                *total += f64::from(share);
            }
        }
        [d_q, d_k, total.into_iter().map(|sum| sum as f32).collect()]
    }
}

vectorized! {
    fn add_to_rows<'a>(width: usize, numbers: &'a [f32], rows: &'a [f32], out: &'a mut [f32]) {
        for row in 0..numbers.len() {
            let (from, out) = (&rows[row * width..][..width], &mut out[row * width..][..width]);
            let number = numbers[row];
            for c in 0..width {
                out[c] = from[c] + number;
            }
        }
    }
}

vectorized! {
    fn add_to_each_row<'a>(numbers: &'a [f32], rows: &'a [f32], out: &'a mut [f32]) {
        let width = numbers.len();
        for row in 0..rows.len() / width {
            let (from, out) = (&rows[row * width..][..width], &mut out[row * width..][..width]);
            for c in 0..width {
                out[c] = from[c] + numbers[c];
            }
        }
    }
}

vectorized! {
    fn weigh_rows<'a>(scale: &'a [f32], rows: &'a [f32], out: &'a mut [f32]) {
        let width = out.len();
        out.fill(0.0);
        for row in 0..scale.len() {
            let (from, scale) = (&rows[row * width..][..width], scale[row]);
            for c in 0..width {
                out[c] = from[c].mul_add(scale, out[c]);
            }
        }
    }
}

vectorized! {
    fn scores_back<'a>(
        scale: &'a [f32],
        values: &'a [f32],
        d: &'a [f32],
        d_q: &'a mut [f32],
        d_k: &'a mut [f32],
        d_scale: &'a mut [f32],
    ) {
        let dim = scale.len();
        let (d_q, d_scale) = (&mut d_q[..dim], &mut d_scale[..dim]);
        for place in 0..d.len() {
            let (values, d_k) = (&values[place * dim..][..dim], &mut d_k[place * dim..][..dim]);
            let d = d[place];
            for c in 0..dim {
                let value = values[c];
                d_scale[c] = value.mul_add(d, d_scale[c]);
                let through = (d * scale[c]) * value.mul_add(-value, 1.0);
                d_q[c] += through;
                d_k[c] += through;
            }
        }
    }
}
