//! One arm of the world: our controller says where its joints shall be, Gazebo's joints follow, and what is measured is what is said.

use crate::Sample;
use proctor_controller::{ArmConfig, Command, PlantArm, TICK, Warnings};
use proctor_kinematics::JointLimits;
use proctor_types::{ArmId, Joints, OperatingState, Stamp};
use std::time::Duration;

/// Most time that is stepped through at once; a simulation that leapt further is not made up for.
const MOST_AT_ONCE: Duration = Duration::from_millis(250);

/// How well a joint must follow, and for how long it may fail to, or to be heard of, before the arm goes to FAULT.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Following {
    /// Of a turning joint, rad.
    pub angle: f64,
    /// Of a sliding joint, m.
    pub length: f64,
    /// For how long, in simulated time.
    pub patience: Duration,
}

impl Default for Following {
    fn default() -> Self {
        Self { angle: 0.05, length: 0.004, patience: Duration::from_millis(200) }
    }
}

/// What the arm is about.
enum Phase {
    /// Nothing heard of it yet.
    Unknown,
    /// On its way from where the world was loaded to where operations begin.
    SettingUp(PlantArm),
    /// A CRTK arm.
    Running(PlantArm),
}

/// One arm: stepped whenever the simulation has moved on.
pub struct WorldArm {
    arm: ArmId,
    limits: JointLimits,
    home: Joints,
    config: ArmConfig,
    following: Following,
    phase: Phase,
    sample: Option<Sample>,
    now: Option<Stamp>,
    followed: Option<Stamp>,
}

impl WorldArm {
    /// That operates from `home` on.
    pub fn new(arm: ArmId, limits: &JointLimits, home: &Joints, config: ArmConfig, following: Following) -> Self {
        let home = limits.clamp(home);
        Self {
            arm,
            limits: *limits,
            home,
            config,
            following,
            phase: Phase::Unknown,
            sample: None,
            now: None,
            followed: None,
        }
    }

    /// Which.
    pub fn id(&self) -> ArmId {
        self.arm
    }

    /// Its controller, once it is a CRTK arm.
    pub fn plant(&self) -> Option<&PlantArm> {
        match &self.phase {
            Phase::Running(plant) => Some(plant),
            Phase::Unknown | Phase::SettingUp(_) => None,
        }
    }

    /// The last that was heard of it.
    pub fn sample(&self) -> Option<&Sample> {
        self.sample.as_ref()
    }

    /// A command arrives. Before the arm is one, nothing is obeyed.
    pub fn command(&mut self, command: Command) {
        if let Phase::Running(plant) = &mut self.phase {
            plant.command(command);
        }
    }

    /// The arm stops itself.
    pub fn fault(&mut self) {
        if let Phase::Running(plant) = &mut self.phase {
            plant.fault();
        }
    }

    /// Warnings since the last call.
    pub fn take_warnings(&mut self) -> Warnings {
        match &mut self.phase {
            Phase::Running(plant) => plant.take_warnings(),
            Phase::Unknown | Phase::SettingUp(_) => Warnings::default(),
        }
    }

    /// The world says how the arm stands.
    pub fn measure(&mut self, sample: Sample) {
        self.sample = Some(sample);
    }

    /// The simulation has come to `now`. Returns where joints and jaw shall be, once that can be said. A simulation that went back begins anew.
    pub fn step(&mut self, now: Stamp) -> Option<(Joints, f64)> {
        if self.now.is_some_and(|before| before > now) {
            (self.phase, self.sample, self.now, self.followed) = (Phase::Unknown, None, None, None);
        }
        let passed = self.now.map_or(Duration::ZERO, |before| before.age(now)).min(MOST_AT_ONCE);
        let ticks = passed.as_nanos() / TICK.as_nanos();
        if ticks > 0 || self.now.is_none() {
            self.now = Some(now);
        }
        let sample = self.sample?;
        self.begin(&sample);
        let (Phase::SettingUp(plant) | Phase::Running(plant)) = &mut self.phase else { return None };
        (0..ticks).for_each(|_| plant.step());
        self.watch(now, &sample);
        self.arrive(&sample);
        let (Phase::SettingUp(plant) | Phase::Running(plant)) = &self.phase else { return None };
        Some((plant.position(), plant.jaw()))
    }

    /// Sends an arm that was heard of for the first time on its way.
    fn begin(&mut self, sample: &Sample) {
        if matches!(self.phase, Phase::Unknown) && sample.position.len() == self.home.len() {
            let config = ArmConfig { starts_ready: true, latency: Duration::ZERO, jaw: self.config.jaw, ..self.config };
            let mut plant = PlantArm::new(self.arm, &self.limits, &sample.position, config);
            plant.command(Command::MoveJp(self.home));
            plant.step();
            self.phase = Phase::SettingUp(plant);
        }
    }

    /// An arm that has come to where operations begin is a CRTK arm.
    fn arrive(&mut self, sample: &Sample) {
        if let Phase::SettingUp(plant) = &self.phase
            && !plant.is_busy()
            && self.follows(plant, sample)
        {
            let plant = PlantArm::new(self.arm, &self.limits, &self.home, self.config);
            self.phase = Phase::Running(plant);
        }
    }

    fn follows(&self, plant: &PlantArm, sample: &Sample) -> bool {
        let gap = plant.position().zip_with(&sample.position, |shall, is| (shall - is).abs());
        let most = |i: usize| if self.limits.slides[i] { self.following.length } else { self.following.angle };
        gap.is_some_and(|gap| gap.iter().enumerate().all(|(i, gap)| *gap <= most(i)))
    }

    /// Stops an arm that is silent or does not follow; one that stands still without being driven is where it is found.
    fn watch(&mut self, now: Stamp, sample: &Sample) {
        let heard = sample.stamp.age(now) <= self.following.patience;
        let Phase::Running(plant) = &self.phase else { return };
        let follows = heard && self.follows(plant, sample);
        let since = self.followed.filter(|_| !follows).unwrap_or(now);
        self.followed = Some(since);
        let lost = !follows && since.age(now) >= self.following.patience;
        let Phase::Running(plant) = &mut self.phase else { return };
        match plant.machine().state() {
            OperatingState::Enabled | OperatingState::Paused if lost => plant.fault(),
            OperatingState::Disabled | OperatingState::Fault if lost && heard => {
                plant.found_at(&sample.position, sample.jaw);
            }
            OperatingState::Enabled | OperatingState::Paused | OperatingState::Disabled | OperatingState::Fault => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_kinematics::Chain;
    use proctor_types::StateRequest;

    const HOME: [f64; 4] = [0.0, 0.0, 0.110, 0.0];

    /// An arm and a world that puts its joints where they shall be, `behind` in the first joint.
    struct World {
        arm: WorldArm,
        ms: u64,
        behind: f64,
        silent: bool,
    }

    impl World {
        fn new() -> Self {
            let (limits, home) = (*Chain::ecm().unwrap().limits(), Joints::new(&HOME).unwrap());
            let arm = WorldArm::new(ArmId::Ecm, &limits, &home, ArmConfig::default(), Following::default());
            Self { arm, ms: 0, behind: 0.0, silent: false }
        }

        fn now(&self) -> Stamp {
            Stamp::FIRST.plus(Duration::from_millis(self.ms))
        }

        fn run(&mut self, ms: u64) {
            for _ in 0..ms / 2 {
                self.ms += 2;
                let shall = self.arm.step(self.now()).map_or(Joints::zeros(4), |(joints, _)| joints);
                let is = Joints::new(&[shall[0] - self.behind, shall[1], shall[2], shall[3]]).unwrap();
                if !self.silent {
                    self.arm.measure(Sample { stamp: self.now(), position: is, velocity: Joints::zeros(4), jaw: 0.0 });
                }
            }
        }

        fn state(&self) -> Option<OperatingState> {
            self.arm.plant().map(|plant| plant.machine().state())
        }

        fn ready(&mut self) {
            self.run(3000);
            for request in [StateRequest::Enable, StateRequest::Home] {
                self.arm.command(Command::State(request));
                self.run(1000);
            }
            assert!(self.arm.plant().unwrap().machine().is_ready());
        }
    }

    #[test]
    fn an_arm_goes_to_where_operations_begin_before_it_is_one() {
        let mut world = World::new();
        world.run(100);
        assert_eq!(world.state(), None, "on its way: nothing is said of it");
        world.arm.command(Command::State(StateRequest::Enable));
        world.run(3000);
        assert_eq!(world.state(), Some(OperatingState::Disabled), "and nothing was obeyed on the way");
        assert!((world.arm.sample().unwrap().position[2] - HOME[2]).abs() < 1e-3);
    }

    #[test]
    fn a_goal_is_reached_within_the_limits() {
        let mut world = World::new();
        world.ready();
        let before = world.arm.sample().unwrap().position;
        world.arm.command(Command::ServoJp(Joints::new(&[0.1, 0.0, 0.110, 0.0]).unwrap()));
        world.run(100);
        let moved = world.arm.sample().unwrap().position[0] - before[0];
        // The ECM turns by 0.5 rad/s at most.
        assert!(moved > 0.0 && moved < 0.05, "{moved}");
        world.run(2000);
        assert!((world.arm.sample().unwrap().position[0] - 0.1).abs() < 1e-3);
    }

    #[test]
    fn an_arm_that_does_not_follow_faults_and_is_found_where_it_is() {
        let mut world = World::new();
        world.ready();
        world.behind = 0.08;
        world.run(150);
        assert_eq!(world.state(), Some(OperatingState::Enabled), "a moment is forgiven");
        world.run(200);
        assert_eq!(world.state(), Some(OperatingState::Fault));
        world.behind = 0.0;
        world.arm.command(Command::State(StateRequest::Disable));
        world.run(600);
        let gap = world.arm.plant().unwrap().position()[0] - world.arm.sample().unwrap().position[0];
        assert_eq!(world.state(), Some(OperatingState::Disabled));
        assert!(gap.abs() < 1e-3, "{gap}");
    }

    #[test]
    fn silence_is_a_fault() {
        let mut world = World::new();
        world.ready();
        world.silent = true;
        world.run(600);
        assert_eq!(world.state(), Some(OperatingState::Fault));
    }

    #[test]
    fn a_simulation_that_begins_anew_is_set_up_anew() {
        let mut world = World::new();
        world.ready();
        world.ms = 0;
        world.run(100);
        assert_eq!(world.state(), None);
    }
}
