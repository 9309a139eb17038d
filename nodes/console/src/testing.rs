//! Values for this crate's tests.

use nalgebra::{Isometry3, Matrix6, Point3, Vector3};
use proctor_kinematics::Cell;
use proctor_types::{
    Alignment, ArmId, Boot, Class, Constraint, Digest, Evidence, HandEye, ImageQuality, InstrumentEstimate, Joints,
    PlannedWith, Pose, Proposal, ProposalId, QualityVerdict, SafetyMode, SafetyState, Scene, Skill, Stamp,
    SurfacePoint, Trajectory, TrajectoryPoint,
};
use std::time::Duration;

/// 1000 s plus `ms`.
pub fn at(ms: i64) -> Stamp {
    let base = Stamp::from_nanos("test", 1_000_000_000_000).unwrap();
    let by = Duration::from_millis(ms.unsigned_abs());
    if ms < 0 { base.minus(by) } else { base.plus(by) }
}

/// A retraction of PSM1 by 10 mm in 2 s that expires at `at(expires_ms)`.
pub fn proposal(id: u64, expires_ms: i64) -> Proposal {
    let point = |t, q3| TrajectoryPoint { t, position: Joints::new(&[0.0, 0.0, q3, 0.0, 0.0, 0.0]).unwrap(), jaw: 0.3 };
    Proposal {
        id: ProposalId(id),
        stamp: at(0),
        expires: at(expires_ms),
        skill: Skill::Retract,
        trajectory: Trajectory::new(ArmId::Psm1, vec![point(0.0, 0.16), point(2.0, 0.17)]).unwrap(),
        planned_with: PlannedWith { model: Digest::default(), hand_eye: 1, zones: 1 },
        evidence: Evidence {
            summary: "Gallbladder fundus seen".to_owned(),
            confidence: 0.9,
            smallest_clearance: Some(0.0082),
            clearance_class: Class::CysticArtery,
        },
    }
}

/// A quiet safety node.
pub fn safety(mode: SafetyMode) -> SafetyState {
    SafetyState {
        stamp: at(0),
        tick: 1,
        boot: Boot(1),
        mode,
        cause: Constraint::None,
        e_stop: false,
        autonomy_level: 0,
        active: Digest::default(),
        progress: 0.0,
        moving: false,
        executed: 0,
        refused: 0,
        violations: 0,
        overruns: 0,
        shadow: false,
    }
}

/// Both instruments aligned at q3 = 0.16 with PSM1's base 2 mm off its nominal place, and a surface 80 mm from the camera.
pub fn scene() -> Scene {
    let cell = Cell::standard().unwrap();
    let world_from_camera = cell.world_from_camera(&[0.0, 0.0, 0.11, 0.0]).unwrap();
    let off = Pose::new(Isometry3::translation(0.002, 0.0, 0.0));
    let hand_eye = |arm: ArmId| HandEye {
        arm,
        world_from_base: if arm == ArmId::Psm1 { off * cell.world_from_base(arm) } else { cell.world_from_base(arm) },
        covariance: Matrix6::identity() * 1e-8,
        version: 1,
    };
    let joints = Joints::new(&[0.0, 0.0, 0.16, 0.0, 0.0, 0.0]).unwrap();
    let instrument = |arm: ArmId| InstrumentEstimate {
        arm,
        joints,
        jaw: 0.3,
        world_from_tip: hand_eye(arm).world_from_base * cell.chain(arm).unwrap().fk(&joints).unwrap(),
        covariance: Matrix6::identity() * 1e-8,
        alignment: Alignment::Aligned,
        residual_px: 1.2,
        finding: proctor_types::Finding::None,
    };
    let point = |depth| SurfacePoint {
        position: world_from_camera.transform(&Point3::new(0.0, 0.0, depth)),
        class: Class::Liver,
        sigma: 0.001,
    };
    Scene {
        stamp: at(0),
        seq: 1,
        world_from_camera,
        hand_eyes: ArmId::PSMS.map(hand_eye).to_vec(),
        instruments: ArmId::PSMS.map(instrument).to_vec(),
        surface: [0.07, 0.08, 0.095].map(point).to_vec(),
        zones_version: 1,
        clearances: Vec::new(),
        grasp_target: Some((Point3::origin(), Vector3::z())),
        quality: ImageQuality { verdict: QualityVerdict::Good, ..ImageQuality::default() },
        model: Digest::default(),
        time: proctor_types::TimeOffset { timing: proctor_types::Timing::Known, seconds: 0.0, sigma: 0.003 },
    }
}
