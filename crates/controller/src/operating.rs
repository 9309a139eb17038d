//! The CRTK operating state machine: pure, without time.
//!
//! DISABLED -enable-> ENABLED -pause-> PAUSED -resume-> ENABLED; any -disable-> DISABLED; FAULT is entered by the robot only and left by
//! disable. Homing needs ENABLED and survives disable; unhome works wherever the arm is not moving (not ENABLED and busy).

use proctor_types::{OperatingState, StateRequest};

/// Operating state with its two CRTK flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Machine {
    state: OperatingState,
    is_homed: bool,
    homing: bool,
}

/// An invalid request: warned about, and nothing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("state command {} is invalid in {}", .request.name(), .state.name())]
pub struct Refusal {
    /// What was asked.
    pub request: StateRequest,
    /// In which state.
    pub state: OperatingState,
}

impl Machine {
    /// Powered and homed already, for scenarios that start in the middle of an operation.
    pub fn ready() -> Self {
        Self { state: OperatingState::Enabled, is_homed: true, homing: false }
    }

    /// The state.
    pub fn state(&self) -> OperatingState {
        self.state
    }

    /// Whether the arm knows where it is.
    pub fn is_homed(&self) -> bool {
        self.is_homed
    }

    /// Whether homing runs.
    pub fn is_homing(&self) -> bool {
        self.homing
    }

    /// CRTK `is_ready`: enabled and homed.
    pub fn is_ready(&self) -> bool {
        self.state == OperatingState::Enabled && self.is_homed
    }

    /// Takes a request; `Err` leaves everything as it was.
    pub fn request(&mut self, request: StateRequest) -> Result<(), Refusal> {
        use OperatingState::{Disabled, Enabled, Fault, Paused};
        let refusal = Refusal { request, state: self.state };
        *self = match (request, self.state) {
            (StateRequest::Enable, Disabled) | (StateRequest::Resume, Paused) => Self { state: Enabled, ..*self },
            (StateRequest::Pause, Enabled) => Self { state: Paused, homing: false, ..*self },
            (StateRequest::Disable, Disabled | Enabled | Paused | Fault) => {
                Self { state: Disabled, homing: false, ..*self }
            }
            (StateRequest::Home, Enabled) => Self { homing: !self.is_homed, ..*self },
            (StateRequest::Unhome, Disabled | Enabled | Paused) => Self { is_homed: false, homing: false, ..*self },
            (StateRequest::Enable, Enabled | Paused | Fault)
            | (StateRequest::Resume, Disabled | Enabled | Fault)
            | (StateRequest::Pause | StateRequest::Home, Disabled | Paused | Fault)
            | (StateRequest::Unhome, Fault) => return Err(refusal),
        };
        Ok(())
    }

    /// Homing has come to its end.
    pub fn finish_homing(&mut self) {
        if self.homing {
            *self = Self { is_homed: true, homing: false, ..*self };
        }
    }

    /// The robot stops itself.
    pub fn fault(&mut self) {
        *self = Self { state: OperatingState::Fault, homing: false, ..*self };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use OperatingState::{Disabled, Enabled, Fault, Paused};
    use StateRequest::{Disable, Enable, Home, Pause, Resume, Unhome};

    #[test]
    fn the_whole_table_of_transitions() {
        // Rows of the CRTK specification: from each state, the state after each request; None is refused.
        let table = [
            (Disabled, [Some(Enabled), Some(Disabled), None, None, None, Some(Disabled)]),
            (Enabled, [None, Some(Disabled), Some(Paused), None, Some(Enabled), Some(Enabled)]),
            (Paused, [None, Some(Disabled), None, Some(Enabled), None, Some(Paused)]),
            (Fault, [None, Some(Disabled), None, None, None, None]),
        ];
        for (from, row) in table {
            for (request, expected) in [Enable, Disable, Pause, Resume, Home, Unhome].into_iter().zip(row) {
                for is_homed in [false, true] {
                    let before = Machine { state: from, is_homed, homing: false };
                    let mut machine = before;
                    let answer = machine.request(request);
                    if let Some(state) = expected {
                        assert_eq!((answer, machine.state()), (Ok(()), state), "{from:?} {request:?}");
                    } else {
                        assert_eq!(answer, Err(Refusal { request, state: from }));
                        assert_eq!(machine, before, "a refused request changes nothing");
                    }
                }
            }
        }
    }

    #[test]
    fn homing_takes_its_time_and_survives_disable() {
        let mut machine = Machine::default();
        assert_eq!((machine.state(), machine.is_ready()), (Disabled, false));
        machine.request(Enable).unwrap();
        machine.request(Home).unwrap();
        assert!(machine.is_homing() && !machine.is_ready());
        machine.finish_homing();
        assert!(machine.is_ready() && !machine.is_homing());
        machine.request(Home).unwrap();
        assert!(!machine.is_homing(), "homing a homed arm is done at once");
        machine.request(Disable).unwrap();
        machine.request(Enable).unwrap();
        assert!(machine.is_ready());
        machine.request(Unhome).unwrap();
        assert!(!machine.is_ready());
    }

    #[test]
    fn homing_interrupted_by_pause_disable_or_fault_does_not_home() {
        for interrupt in [
            |m: &mut Machine| m.request(Pause).unwrap(),
            |m: &mut Machine| m.request(Disable).unwrap(),
            |m: &mut Machine| m.fault(),
        ] {
            let mut machine = Machine::default();
            machine.request(Enable).unwrap();
            machine.request(Home).unwrap();
            interrupt(&mut machine);
            machine.finish_homing();
            assert!(!machine.is_homed());
        }
    }
}
