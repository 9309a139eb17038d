//! The constraints that bind at a solution.

use crate::MAX_VARIABLES;

/// A constraint of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bind {
    /// The lower bound of this variable.
    Lower(usize),
    /// The upper bound of this variable.
    Upper(usize),
    /// This row.
    Row(usize),
}

/// Constraints that bind, with their multipliers; never more than there are variables.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Active {
    pub(crate) count: usize,
    pub(crate) binds: [Bind; MAX_VARIABLES],
    pub(crate) multipliers: [f64; MAX_VARIABLES],
}

impl Default for Active {
    fn default() -> Self {
        Self { count: 0, binds: [Bind::Row(0); MAX_VARIABLES], multipliers: [0.0; MAX_VARIABLES] }
    }
}

impl Active {
    /// Each with its multiplier (not negative): by how much the cost falls per unit by which it is loosened.
    pub fn iter(&self) -> impl Iterator<Item = (Bind, f64)> {
        self.binds.iter().copied().zip(self.multipliers.iter().copied()).take(self.count)
    }

    /// Whether a constraint is among them.
    pub fn contains(&self, bind: Bind) -> bool {
        self.iter().any(|(b, _)| b == bind)
    }

    /// Adds a constraint without a multiplier, as a guess for a warm start; ignored when there is no room.
    pub fn guess(&mut self, bind: Bind) {
        if let Some(slot) = self.binds.get_mut(self.count) {
            *slot = bind;
            self.count += 1;
        }
    }
}
