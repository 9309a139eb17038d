//! The method. It holds a point that is optimal for the active constraints alone, with multipliers none of which is negative, and takes
//! in the most violated constraint, dropping active ones whose multiplier would turn negative on the way, until nothing is violated.
//!
//! Numbers: a violation is a distance, measured in variables scaled so that the diagonal of `H` is one; the scales of rows and variables
//! do not matter, and it counts from [`FEASIBLE`] times the size of the numbers involved on. Whether a normal depends on the active
//! ones is judged by the sine of its angle to them, as `H` sees it, so that a row that is there twice is noticed at any scale. In the
//! end the point is computed afresh from the active constraints alone, which removes what the steps' rounding added up to, and looked at
//! once more.

use crate::{
    Active, Bind, MAX_ROWS, MAX_VARIABLES, Problem,
    factors::{Factors, Seen},
    vector::{Vector, ZERO, add, at, dot, largest, weighed},
};

/// Violation that is put down to rounding, relative to the point and the limit.
const FEASIBLE: f64 = 1e-11;
/// The same, relative to the minimiser without constraints: the point is a difference from it.
const FEASIBLE_FROM: f64 = 2e-14;
/// Square of the sine below which a normal counts as a combination of the active ones.
const DEPENDENT: f64 = 1e-20;
/// The same for a guess of a warm start: what is nearly dependent is left for the method to find.
const DEPENDENT_GUESS: f64 = 1e-12;
/// A negative multiplier that is put down to rounding, relative.
const NEGATIVE: f64 = 1e-12;
/// A share of the new normal in an active one that is put down to rounding, relative.
const SHARE: f64 = 1e-13;
/// A constraint is one of the lower bounds, then the upper bounds, then the rows.
const CONSTRAINTS: usize = 2 * MAX_VARIABLES + MAX_ROWS;

/// How a solve ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    /// The minimiser.
    Solved(Solution),
    /// No point satisfies every constraint.
    Infeasible,
    /// Not solved, to the accuracy wanted, within [`Solver::most`] steps.
    TookTooLong,
    /// Something is not a number or infinite, `H` is not positive definite, or there are no or too many variables.
    Malformed,
}

/// A minimiser.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Solution {
    /// The point; zero beyond the problem's variables.
    pub x: Vector,
    /// The constraints that bind there.
    pub active: Active,
    /// Steps of the method.
    pub steps: u32,
}

/// Room to work in: about 10 kB. Nothing is carried from one solve to the next.
#[derive(Debug, Clone)]
pub struct Solver {
    /// Most steps of a solve; each takes in or drops one constraint. 0 lets only problems through whose unconstrained minimiser is feasible.
    pub most: u32,
    factors: Factors,
    /// Names of the active constraints, their multipliers, and a flag per constraint.
    names: [usize; MAX_VARIABLES],
    multipliers: Vector,
    is_active: [bool; CONSTRAINTS],
    /// What makes each constraint's normal as long as one: 1 / length in scaled variables. 0 for rows without direction, which are judged at
    /// the start.
    scales: [f64; CONSTRAINTS],
    /// Minimiser without constraints.
    origin: Vector,
    x: Vector,
    steps: u32,
}

/// Why a solve ended without a solution.
enum Stop {
    Infeasible,
    TookTooLong,
    Malformed,
}

/// The constraint that is violated most.
struct Violated {
    name: usize,
    normal: Vector,
    /// `n'x - b`, negative.
    excess: f64,
}

impl Default for Solver {
    fn default() -> Self {
        Self::new()
    }
}

impl Solver {
    /// Most steps unless changed; problems of the safety filter take about ten.
    pub const MOST: u32 = 200;

    /// Ready for any problem.
    pub fn new() -> Self {
        Self {
            most: Self::MOST,
            factors: Factors::new(),
            names: [0; MAX_VARIABLES],
            multipliers: ZERO,
            is_active: [false; CONSTRAINTS],
            scales: [0.0; CONSTRAINTS],
            origin: ZERO,
            x: ZERO,
            steps: 0,
        }
    }

    /// Solves. `guess`: constraints that may bind, from a problem like this one; any guess, also none or a wrong one, leads to the same
    /// solution, a good one sooner.
    pub fn solve(&mut self, problem: &Problem, guess: &Active) -> Outcome {
        let ended = self.start(problem).and_then(|()| {
            self.warm(problem, guess);
            self.search(problem)
        });
        match ended {
            Ok(()) => self.solution(),
            Err(Stop::Infeasible) => Outcome::Infeasible,
            Err(Stop::TookTooLong) => Outcome::TookTooLong,
            Err(Stop::Malformed) => Outcome::Malformed,
        }
    }

    fn solution(&self) -> Outcome {
        let mut active = Active { count: self.factors.active(), ..Active::default() };
        let slots = active.binds.iter_mut().zip(&mut active.multipliers);
        for ((bind, u), (&name, &multiplier)) in slots.zip(self.names.iter().zip(&self.multipliers)).take(active.count)
        {
            *bind = bind_of(name);
            // Multipliers are kept for normals as long as one.
            *u = multiplier * at(&self.scales, name);
        }
        Outcome::Solved(Solution { x: self.x, active, steps: self.steps })
    }

    /// Factors `H`, measures the constraints, finds the minimiser without constraints.
    fn start(&mut self, p: &Problem) -> Result<(), Stop> {
        let n = p.variables();
        if n == 0 || n > MAX_VARIABLES {
            return Err(Stop::Malformed);
        }
        self.steps = 0;
        self.is_active = [false; CONSTRAINTS];
        let bounds = p.lower.iter().zip(&p.upper).take(n);
        for (lower, upper) in bounds {
            if lower.is_nan() || upper.is_nan() || *lower == f64::INFINITY || *upper == f64::NEG_INFINITY {
                return Err(Stop::Malformed);
            }
            if lower > upper {
                return Err(Stop::Infeasible);
            }
        }
        self.factors.start(&p.hessian, n).ok_or(Stop::Malformed)?;
        self.measure(p)?;
        let mut gradient = ZERO;
        gradient.iter_mut().zip(&p.gradient).take(n).for_each(|(g, x)| *g = -x);
        self.origin = self.factors.solve(&gradient);
        self.x = self.origin;
        // Anything in H or g that is not finite has reached the point by now.
        if self.x.iter().all(|x| x.is_finite()) { Ok(()) } else { Err(Stop::Malformed) }
    }

    /// Lengths of the constraints' normals, in variables scaled by the root of `H`'s diagonal.
    fn measure(&mut self, p: &Problem) -> Result<(), Stop> {
        let mut inverse = ZERO;
        let (lower, rest) = self.scales.split_at_mut(MAX_VARIABLES);
        let (upper, rows) = rest.split_at_mut(MAX_VARIABLES);
        let slots = inverse.iter_mut().zip(lower).zip(upper);
        for (i, (((inverse, lower), upper), row)) in slots.zip(&p.hessian).enumerate().take(p.variables()) {
            let diagonal = at(row, i);
            *inverse = 1.0 / diagonal;
            (*lower, *upper) = (diagonal.sqrt(), diagonal.sqrt());
        }
        for (slot, (a, b)) in rows.iter_mut().zip(p.rows()) {
            let square: f64 = weighed(a, &inverse);
            if !square.is_finite() || b.is_nan() || b == f64::INFINITY {
                return Err(Stop::Malformed);
            }
            *slot = if square > f64::MIN_POSITIVE { 1.0 / square.sqrt() } else { 0.0 };
            if *slot == 0.0 && b > 0.0 {
                return Err(Stop::Infeasible);
            }
        }
        Ok(())
    }

    /// Makes the guessed constraints active, as far as they are independent, and drops those whose multiplier is negative.
    fn warm(&mut self, p: &Problem, guess: &Active) {
        for (bind, _) in guess.iter() {
            let Some(name) = name_of(bind, p).filter(|&name| !self.has(name)) else { continue };
            let (normal, limit) = self.constraint(p, name);
            let seen = self.factors.see(&normal);
            if limit.is_finite() && seen.free > DEPENDENT_GUESS * seen.whole {
                self.push(name, &seen, 0.0);
            }
        }
        self.settle(p);
    }

    /// The point and multipliers that belong to the active constraints, without those whose multiplier is negative: all of them are dropped at
    /// once, then what became negative by that. One at a time would drop fewer, but a bad guess would cost more than none.
    fn settle(&mut self, p: &Problem) {
        loop {
            self.refresh(p);
            let rounding = -NEGATIVE * largest(&self.multipliers);
            let (multipliers, active) = (self.multipliers, self.factors.active());
            // From the end: what is dropped moves the ones after it. NaN is not negative, and is found in the point.
            for (l, _) in multipliers.iter().enumerate().take(active).rev().filter(|(_, u)| **u < rounding) {
                self.drop(l);
            }
            if self.factors.active() == active {
                break;
            }
        }
        self.multipliers.iter_mut().for_each(|u| *u = u.max(0.0));
    }

    fn search(&mut self, p: &Problem) -> Result<(), Stop> {
        loop {
            let mut rounding = false;
            while let Some(violated) = self.most_violated(p)? {
                rounding = true;
                self.take_in(&violated)?;
            }
            if !rounding || self.factors.active() == 0 {
                return Ok(());
            }
            // Afresh from the active constraints; if something turns out to be violated, on from there.
            self.settle(p);
        }
    }

    /// The point and multipliers that belong to the active constraints.
    fn refresh(&mut self, p: &Problem) {
        let mut gaps = ZERO;
        for (gap, &name) in gaps.iter_mut().zip(&self.names).take(self.factors.active()) {
            let (normal, limit) = self.constraint(p, name);
            *gap = limit - dot(&normal, &self.origin);
        }
        let w = self.factors.forward(&gaps);
        (self.x, self.multipliers) = self.factors.point(&self.origin, &w);
    }

    /// Takes a violated constraint in.
    fn take_in(&mut self, violated: &Violated) -> Result<(), Stop> {
        let (mut excess, mut multiplier) = (violated.excess, 0.0);
        loop {
            self.steps += 1;
            if self.steps > self.most {
                return Err(Stop::TookTooLong);
            }
            let seen = self.factors.see(&violated.normal);
            let shares = self.factors.shares(&seen);
            let dependent = seen.free <= DEPENDENT * seen.whole || self.factors.active() == MAX_VARIABLES;
            // How far until an active constraint's multiplier is zero, and until the new constraint is met.
            let (until_drop, drop) = self.first_to_drop(&shares);
            let until_met = if dependent { f64::INFINITY } else { -excess / seen.free };
            let step = until_drop.min(until_met);
            if step == f64::INFINITY {
                return Err(Stop::Infeasible);
            }
            if !step.is_finite() {
                return Err(Stop::Malformed);
            }
            for (u, share) in self.multipliers.iter_mut().zip(&shares).take(self.factors.active()) {
                *u = (*u - step * share).max(0.0);
            }
            multiplier += step;
            if !dependent {
                add(&mut self.x, step, &seen.z);
                excess += step * seen.free;
            }
            if until_met <= until_drop {
                self.push(violated.name, &seen, multiplier);
                return Ok(());
            }
            self.drop(drop);
        }
    }

    /// The step at which the first active constraint's multiplier becomes zero, and which that is.
    fn first_to_drop(&self, shares: &Vector) -> (f64, usize) {
        let least = SHARE * largest(shares);
        let active = self.multipliers.iter().zip(shares).take(self.factors.active()).enumerate();
        active.filter(|(_, (_, share))| **share > least).fold((f64::INFINITY, 0), |best, (l, (u, share))| {
            let step = u / share;
            if step < best.0 { (step, l) } else { best }
        })
    }

    /// The constraint that is violated by the most, each measured along its own normal. Fails when the point is not finite.
    fn most_violated(&self, p: &Problem) -> Result<Option<Violated>, Stop> {
        let (lengths, rows) = self.scales.split_at(MAX_VARIABLES);
        let scaled = |v: &Vector| v.iter().zip(lengths).fold(0.0, |m: f64, (x, s)| m.max((x * s).abs()));
        let size = scaled(&self.x) + FEASIBLE_FROM / FEASIBLE * scaled(&self.origin);
        if !self.x.iter().all(|x| x.is_finite()) {
            return Err(Stop::Malformed);
        }
        let mut worst: Option<(usize, f64)> = None;
        let mut look = |name: usize, excess: f64, limit: f64| {
            // An infinite bound gives an infinite excess, which is not violated.
            if excess < -FEASIBLE * (size + limit.abs()) && worst.is_none_or(|w| excess < w.1) && !self.has(name) {
                worst = Some((name, excess));
            }
        };
        let bounds = self.x.iter().zip(lengths).zip(p.lower.iter().zip(&p.upper)).take(p.variables()).enumerate();
        for (i, ((&x, &scale), (&lower, &upper))) in bounds {
            look(i, (x - lower) * scale, lower * scale);
            look(MAX_VARIABLES + i, (upper - x) * scale, upper * scale);
        }
        for (i, ((a, b), &scale)) in p.rows().zip(rows.iter().skip(MAX_VARIABLES)).enumerate() {
            look(2 * MAX_VARIABLES + i, (dot(a, &self.x) - b) * scale, b * scale);
        }
        Ok(worst.map(|(name, excess)| Violated { name, normal: self.constraint(p, name).0, excess }))
    }

    fn has(&self, name: usize) -> bool {
        self.is_active.get(name).copied().unwrap_or(true)
    }

    fn mark(&mut self, name: usize, active: bool) {
        if let Some(flag) = self.is_active.get_mut(name) {
            *flag = active;
        }
    }

    fn push(&mut self, name: usize, seen: &Seen, multiplier: f64) {
        let k = self.factors.active();
        if let Some((slot, u)) = self.names.get_mut(k).zip(self.multipliers.get_mut(k)) {
            (*slot, *u) = (name, multiplier);
            self.factors.push(seen);
            self.mark(name, true);
        }
    }

    fn drop(&mut self, l: usize) {
        let active = self.factors.active();
        if let Some(&name) = self.names.get(l) {
            self.mark(name, false);
        }
        if let (Some(names), Some(us)) = (self.names.get_mut(l..active), self.multipliers.get_mut(l..active)) {
            names.rotate_left(1);
            us.rotate_left(1);
            self.factors.drop(l);
        }
    }

    /// Normal, as long as one, and limit of a constraint.
    fn constraint(&self, p: &Problem, name: usize) -> (Vector, f64) {
        let scale = at(&self.scales, name);
        let mut normal = ZERO;
        let mut unit = |i: usize, x: f64| normal.iter_mut().skip(i).take(1).for_each(|slot| *slot = x);
        match bind_of(name) {
            Bind::Lower(i) => {
                unit(i, scale);
                (normal, at(&p.lower, i) * scale)
            }
            Bind::Upper(i) => {
                unit(i, -scale);
                (normal, -at(&p.upper, i) * scale)
            }
            Bind::Row(i) => {
                let Some((a, b)) = p.row(i) else { return (normal, 0.0) };
                add(&mut normal, scale, a);
                (normal, b * scale)
            }
        }
    }
}

fn bind_of(name: usize) -> Bind {
    match name {
        0..MAX_VARIABLES => Bind::Lower(name),
        _ if name < 2 * MAX_VARIABLES => Bind::Upper(name - MAX_VARIABLES),
        _ => Bind::Row(name - 2 * MAX_VARIABLES),
    }
}

/// `None` for a constraint that the problem does not have.
fn name_of(bind: Bind, p: &Problem) -> Option<usize> {
    match bind {
        Bind::Lower(i) => (i < p.variables()).then_some(i),
        Bind::Upper(i) => (i < p.variables()).then_some(MAX_VARIABLES + i),
        Bind::Row(i) => (i < p.rows().len()).then_some(2 * MAX_VARIABLES + i),
    }
}
