//! The fit behind [`crate::calibrate_hand_eye`]: all corners of all pictures over the two unknown transforms of
//! `camera_from_board(i) = A * M(i) * C`, and what makes its answer unbelievable.

use crate::{
    BoardMiss, CalibrationError, FittedView, HandEye, HandEyeFit, HandEyeInput, Mount, PoseSigma, View,
    fit::{self, MAX_ROUNDS, Rejected, Selection, median},
    hand_eye::too_few,
    intrinsics::mat3,
    lm::{Normal, minimise},
    stereo::{by_pose, step},
};
use nalgebra::{
    Isometry3, Matrix3, Matrix6, Rotation3, SMatrix, SVector, Translation3, UnitQuaternion, Vector2, Vector3,
};
use opencv::{
    calib3d,
    core::{Mat, MatTraitConstManual as _, Vector},
};
use proctor_types::Pose;

/// A fit whose board misses by more than this share of its distance is no fit.
const HOPELESS_SHARE: f64 = 0.1;
/// Another row of the log is the right one if it predicts the corners this many times better.
const BETTER_ROW: f64 = 4.0;

/// A and C of the head comment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chain {
    a: Isometry3<f64>,
    c: Isometry3<f64>,
}

impl Chain {
    fn stepped(&self, by: &SVector<f64, 12>) -> Self {
        let part = |at: usize| by.fixed_rows::<6>(at).into_owned();
        Self { a: step(&self.a, &part(0)), c: step(&self.c, &part(6)) }
    }

    fn camera_from_board(&self, link: &Isometry3<f64>) -> Isometry3<f64> {
        self.a * link * self.c
    }
}

/// Views, and where the robot was in each.
pub(crate) struct Problem<'a> {
    pub(crate) input: &'a HandEyeInput<'a>,
    pub(crate) views: &'a [View],
    /// M of the head comment, per view.
    pub(crate) links: Vec<Isometry3<f64>>,
}

impl Problem<'_> {
    /// Fits, leaves out what contradicts the rest, and fits again.
    pub(crate) fn fit(
        &self,
        selection: &mut Selection,
        camera: &[Isometry3<f64>],
    ) -> Result<(Chain, Normal<12>), CalibrationError> {
        let mut chain = first_answer(&self.links, selection, camera)?;
        let mut normal = Normal::zero();
        for _ in 0..MAX_ROUNDS {
            let evaluate = |c: &Chain| self.evaluate(c, selection);
            let Some(answer) = minimise(chain, evaluate, Chain::stepped) else {
                // The first answer puts a board behind the camera.
                self.refuse_nonsense(&chain, selection, camera)?;
                return Err(CalibrationError::Undetermined { why: "the hand-eye fit does not converge".into() });
            };
            (chain, normal) = answer;
            if !selection.narrow(&self.errors(&chain)) {
                break;
            }
            let out: Vec<usize> = (0..self.views.len()).filter(|v| !selection.views[*v]).collect();
            too_few(selection.used_views(), self.with_lines(&out))?;
        }
        Ok((chain, normal))
    }

    fn evaluate(&self, chain: &Chain, selection: &Selection) -> Option<Normal<12>> {
        let mut normal = Normal::zero();
        for v in (0..self.views.len()).filter(|v| selection.views[*v]) {
            self.add_view(&mut normal, chain, selection, v)?;
        }
        Some(normal)
    }

    fn add_view(&self, normal: &mut Normal<12>, chain: &Chain, selection: &Selection, v: usize) -> Option<()> {
        let to_camera = chain.a * self.links[v];
        let turn = to_camera.rotation.to_rotation_matrix();
        for (_, corner) in self.views[v].corners.iter().enumerate().filter(|(i, _)| selection.uses(v, *i)) {
            let on_board = chain.c * self.input.board.point(corner.id);
            let in_camera = to_camera * on_board;
            let (pixel, by_point) = self.input.camera.project_with_jacobian(&in_camera)?;
            let mut jacobian = SMatrix::<f64, 2, 12>::zeros();
            jacobian.fixed_columns_mut::<6>(0).copy_from(&by_pose(&by_point, &in_camera.coords));
            let by_board = by_point * turn.matrix();
            jacobian.fixed_columns_mut::<6>(6).copy_from(&by_pose(&by_board, &on_board.coords));
            normal.add(pixel - corner.pixel, &jacobian, 1.0);
        }
        Some(())
    }

    fn errors(&self, chain: &Chain) -> Vec<Vec<Vector2<f64>>> {
        let each = self.views.iter().zip(&self.links);
        each.map(|(view, link)| self.errors_of(view, &chain.camera_from_board(link))).collect()
    }

    fn errors_of(&self, view: &View, camera_from_board: &Isometry3<f64>) -> Vec<Vector2<f64>> {
        fit::errors(self.input.board, self.input.camera, view, camera_from_board)
    }

    fn line(&self, view: usize) -> u64 {
        self.input.log.rows[self.input.rows[view]].line
    }

    pub(crate) fn with_lines(&self, which: &[usize]) -> Vec<String> {
        which.iter().map(|v| format!("{} (line {})", self.views[*v].name, self.line(*v))).collect()
    }

    /// A view that was left out but fits the pose of another row has the wrong row: the log is not to be believed.
    pub(crate) fn refuse_wrong_rows(
        &self,
        chain: &Chain,
        selection: &Selection,
        log: &[Isometry3<f64>],
    ) -> Result<(), CalibrationError> {
        let typical = median(
            (0..self.views.len())
                .filter(|v| selection.views[*v])
                .map(|v| fit::rms(self.errors_of(&self.views[v], &chain.camera_from_board(&self.links[v])).into_iter()))
                .collect(),
        );
        let mut wrong = Vec::new();
        for v in (0..self.views.len()).filter(|v| !selection.views[*v]) {
            let miss = |link: &Isometry3<f64>| {
                fit::rms(self.errors_of(&self.views[v], &chain.camera_from_board(link)).into_iter())
            };
            let each = log.iter().enumerate().map(|(row, pose)| (miss(&self.input.mount.link(pose)), row));
            let Some((best, row)) = each.min_by(|a, b| a.0.total_cmp(&b.0)) else { continue };
            let fits = best * BETTER_ROW < miss(&self.links[v]) && best < (3.0 * typical).max(2.0);
            if fits && row != self.input.rows[v] {
                let (view, line) = (&self.views[v].name, self.line(v));
                wrong.push(format!(
                    "{view} has the pose of line {line} but fits that of line {}",
                    self.input.log.rows[row].line
                ));
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let advice = Some("the log's rows are shuffled or names in it are wrong".into());
        Err(CalibrationError::LogMismatch { pairs: wrong, advice })
    }

    /// A chain that puts the board somewhere else than the pictures show it is no answer; often the other mount is meant.
    pub(crate) fn refuse_nonsense(
        &self,
        chain: &Chain,
        selection: &Selection,
        camera: &[Isometry3<f64>],
    ) -> Result<(), CalibrationError> {
        let shares = |chain: &Chain, links: &[Isometry3<f64>]| {
            let used = (0..links.len()).filter(|v| selection.views[*v]);
            median(used.map(|v| self.miss(chain, &links[v], &camera[v]).mm / self.distance_mm(&camera[v])).collect())
        };
        let share = shares(chain, &self.links);
        if share <= HOPELESS_SHARE {
            return Ok(());
        }
        let other: Vec<Isometry3<f64>> = self.links.iter().map(Isometry3::inverse).collect();
        let inverted = first_answer(&other, selection, camera)?;
        let fits = shares(&inverted, &other) <= HOPELESS_SHARE;
        let advice = fits.then(|| {
            let other = self.input.mount.other().name();
            format!("as {other} they fit: is --mount {other} meant, or does the log hold the inverse of measured_cp?")
        });
        let percent = (100.0 * share).min(999.0);
        let pairs = vec![format!("the best transform still puts the board {percent:.0} % of its distance away")];
        Err(CalibrationError::LogMismatch { pairs, advice })
    }

    fn distance_mm(&self, camera_from_board: &Isometry3<f64>) -> f64 {
        (camera_from_board * self.input.board.centre()).coords.norm() * 1e3
    }

    fn miss(&self, chain: &Chain, link: &Isometry3<f64>, seen: &Isometry3<f64>) -> BoardMiss {
        let predicted = chain.camera_from_board(link);
        let centre = self.input.board.centre();
        let mm = (predicted * centre - seen * centre).norm() * 1e3;
        BoardMiss { mm, degrees: predicted.rotation.angle_to(&seen.rotation).to_degrees() }
    }

    pub(crate) fn finish(
        &self,
        chain: &Chain,
        normal: &Normal<12>,
        selection: &Selection,
        camera: &[Isometry3<f64>],
        odd: &[usize],
        turns: (f64, f64),
    ) -> HandEyeFit {
        let errors = self.errors(chain);
        let views: Vec<FittedView> = (0..self.views.len())
            .map(|v| {
                let pose = chain.camera_from_board(&self.links[v]);
                fit::fitted(&self.views[v], &errors[v], pose, |c| selection.uses(v, c))
            })
            .collect();
        let misses: Vec<BoardMiss> = (0..views.len()).map(|v| self.miss(chain, &self.links[v], &camera[v])).collect();
        let mut rejections = selection.rejections(&views);
        for v in odd {
            let what = Rejected::Pose { degrees: misses[*v].degrees };
            rejections.iter_mut().filter(|r| r.view == views[*v].name).for_each(|r| r.what = what);
        }
        let covariance = self.covariance(chain, normal, selection);
        let (hand_eye, sigma) = self.named(chain, &covariance);
        HandEyeFit { hand_eye, sigma, rms: fit::total_rms(&views), views, misses, rejections, turns }
    }

    /// Covariance of a step of A (m, rad, in the camera's frame): the larger, per number, of the one for independent corners and the one
    /// for views whose corners err together.
    fn covariance(&self, chain: &Chain, normal: &Normal<12>, selection: &Selection) -> Matrix6<f64> {
        let Some(inverse) = normal.h.try_inverse() else { return Matrix6::from_diagonal_element(f64::INFINITY) };
        let mut between = SMatrix::<f64, 12, 12>::zeros();
        let (mut views, mut corners) = (0.0, 0.0);
        for v in (0..self.views.len()).filter(|v| selection.views[*v]) {
            let mut one = Normal::zero();
            if self.add_view(&mut one, chain, selection, v).is_some() {
                between += one.g * one.g.transpose();
                views += 1.0;
                corners += selection.corners[v].iter().filter(|c| **c).count() as f64;
            }
        }
        // A view has six degrees of freedom, the chain twelve.
        let by_views = inverse * between * inverse * (views / (views - 2.0));
        let by_corners = inverse * (normal.cost / (2.0 * corners - 12.0));
        let larger = if by_views.fixed_view::<6, 6>(0, 0).trace() > by_corners.fixed_view::<6, 6>(0, 0).trace() {
            by_views
        } else {
            by_corners
        };
        larger.fixed_view::<6, 6>(0, 0).into()
    }

    fn named(&self, chain: &Chain, covariance: &Matrix6<f64>) -> (HandEye, PoseSigma) {
        let (moved, turned) = (covariance.fixed_view::<3, 3>(0, 0), covariance.fixed_view::<3, 3>(3, 3));
        match self.input.mount {
            Mount::EyeInHand => {
                // A step of camera_from_tip moves the camera's origin, seen from the tip, by minus its translation.
                let tip_from_camera = chain.a.inverse();
                let turn = tip_from_camera.rotation.to_rotation_matrix();
                let into_tip = |m: Matrix3<f64>| turn.matrix() * m * turn.matrix().transpose();
                let hand_eye = HandEye::InHand {
                    tip_from_camera: Pose::new(tip_from_camera),
                    base_from_board: Pose::new(chain.c),
                };
                (hand_eye, sigma(&into_tip(moved.into()), &into_tip(turned.into())))
            }
            Mount::EyeToHand => {
                // A step of camera_from_base turns the base's origin about the camera and moves it.
                let mut by_step = SMatrix::<f64, 3, 6>::zeros();
                by_step.fixed_columns_mut::<3>(0).copy_from(&Matrix3::identity());
                by_step.fixed_columns_mut::<3>(3).copy_from(&-chain.a.translation.vector.cross_matrix());
                let hand_eye =
                    HandEye::ToHand { camera_from_base: Pose::new(chain.a), tip_from_board: Pose::new(chain.c) };
                (hand_eye, sigma(&(by_step * covariance * by_step.transpose()), &turned.into()))
            }
        }
    }
}

/// Park & Martin's answer, and the most typical of the boards it gives.
fn first_answer(
    links: &[Isometry3<f64>],
    selection: &Selection,
    camera: &[Isometry3<f64>],
) -> Result<Chain, CalibrationError> {
    let used: Vec<usize> = (0..links.len()).filter(|v| selection.views[*v]).collect();
    let (mut hand_r, mut hand_t) = (Vector::<Mat>::new(), Vector::<Mat>::new());
    let (mut board_r, mut board_t) = (Vector::<Mat>::new(), Vector::<Mat>::new());
    for v in &used {
        push(&links[*v].inverse(), &mut hand_r, &mut hand_t)?;
        push(&camera[*v], &mut board_r, &mut board_t)?;
    }
    let (mut r, mut t) = (Mat::default(), Mat::default());
    let method = calib3d::HandEyeCalibrationMethod::CALIB_HAND_EYE_PARK;
    calib3d::calibrate_hand_eye(&hand_r, &hand_t, &board_r, &board_t, &mut r, &mut t, method)?;
    let matrix = Matrix3::from_row_slice(r.data_typed::<f64>()?);
    // The nearest rotation in bounded steps: contradicting poses make this no rotation at all.
    let rotation = Rotation3::from_matrix_eps(&matrix, 1e-12, 100, Rotation3::identity());
    let t = Vector3::from_column_slice(t.data_typed::<f64>()?);
    let a = Isometry3::from_parts(Translation3::from(t), UnitQuaternion::from_rotation_matrix(&rotation)).inverse();
    // Each view says where the board is; the most typical of them is taken.
    let each: Vec<Isometry3<f64>> = used.iter().map(|v| (a * links[*v]).inverse() * camera[*v]).collect();
    let apart = |x: &Isometry3<f64>, y: &Isometry3<f64>| {
        (x.translation.vector - y.translation.vector).norm() + 0.1 * x.rotation.angle_to(&y.rotation)
    };
    let typical = |x: &Isometry3<f64>| median(each.iter().map(|y| apart(x, y)).collect());
    let c = each.iter().min_by(|x, y| typical(x).total_cmp(&typical(y))).copied();
    Ok(Chain { a, c: c.unwrap_or_default() })
}

fn sigma(position: &Matrix3<f64>, rotation: &Matrix3<f64>) -> PoseSigma {
    let root = |m: &Matrix3<f64>, unit: fn(f64) -> f64| std::array::from_fn(|i| unit(m[(i, i)].max(0.0).sqrt()));
    PoseSigma { position_mm: root(position, |m| m * 1e3), rotation_deg: root(rotation, f64::to_degrees) }
}

fn push(pose: &Isometry3<f64>, rotations: &mut Vector<Mat>, translations: &mut Vector<Mat>) -> opencv::Result<()> {
    rotations.push(mat3(pose.rotation.to_rotation_matrix().matrix())?);
    let t = pose.translation.vector;
    translations.push(Mat::from_slice_2d(&[[t.x], [t.y], [t.z]])?);
    Ok(())
}
