//! Pictures as fusion wants them: rectified, of one size, segmented.

use super::{
    FuseArgs,
    cameras::Cameras,
    from_pictures::Arm,
    instruments::Instruments,
    pictures::{Moment, Pictures},
};
use anyhow::bail;
use nalgebra::Point3;
use opencv::{
    calib3d,
    core::{BORDER_CONSTANT, CV_32FC1, Mat, MatTraitConst as _, Scalar, Size},
    imgproc,
};
use proctor_fusion::points::{self, Eyes, Placed, Recording, Seen, Way};
use proctor_kinematics::Chain;
use proctor_perception::{
    Model, OrtConfig, Perception, QualityParams,
    cli::onnxruntime,
    picture::{self, Rgb},
};
use proctor_types::{ArmId, CameraModel, Class, Segmentation, Stamp, StereoFrame, StereoRig};

/// Width that fusion's parameters are made for, px.
const WIDTH: usize = 640;
/// Most pictures that are looked at to find bases.
const LOOKS: usize = 240;
/// Least confidence of a point that counts.
const CONFIDENT: f32 = 0.4;
/// Worst that a base found from few hundred points may leave over, px.
const MOST_PX: f64 = 25.0;

/// From recorded pictures to segmented ones.
pub struct Seeing {
    perception: Perception,
    /// Where each rectified pixel comes from, left and right; `None` where pictures are rectified already.
    maps: Option<[(Mat, Mat); 2]>,
    rig: StereoRig,
    /// Size of the pictures that the cameras were calibrated with.
    full: (usize, usize),
    size: (usize, usize),
    seq: u64,
}

impl Seeing {
    /// Loads the model.
    pub fn new(args: &FuseArgs, cameras: &Cameras) -> anyhow::Result<Self> {
        let Eyes { camera, baseline: Some(baseline) } = cameras.eyes else {
            bail!("pictures need two cameras: give --right-camera, or --pinhole with a baseline");
        };
        let size = (WIDTH, (camera.height * WIDTH / camera.width) & !1);
        let config = OrtConfig {
            library_path: onnxruntime(args.model.onnxruntime.as_deref())?,
            threads: args.model.threads.into(),
        };
        let perception = Perception::new(Model::load(&args.model.model, &config)?, QualityParams::default())?;
        let rig = StereoRig { left: scaled(&camera, size), baseline };
        let full = (camera.width, camera.height);
        Ok(Self { perception, maps: maps(cameras)?, rig, full, size, seq: 0 })
    }

    /// The cameras of the pictures that come out.
    pub fn eyes(&self) -> Eyes {
        Eyes { camera: self.rig.left, baseline: Some(self.rig.baseline) }
    }

    /// A pair, rectified and segmented.
    pub fn see(&mut self, moment: &Moment, stamp: Stamp) -> anyhow::Result<(StereoFrame, Segmentation)> {
        let sizes = |p: &Rgb| (p.width(), p.height());
        if sizes(&moment.left) != sizes(&moment.right) {
            bail!("{}: left and right are of different sizes", moment.name);
        }
        let ((w, h), (width, height)) = (sizes(&moment.left), self.full);
        if self.maps.is_some() && (w, h) != (width, height) {
            bail!("{}: {w}x{h} pixels, but the camera was calibrated with {width}x{height}", moment.name);
        }
        let [left, right] = [(0, &moment.left), (1, &moment.right)].map(|(side, p)| self.rectified(side, p));
        self.seq += 1;
        let frame = StereoFrame { stamp, seq: self.seq, left: left?, right: right?, rig: self.rig };
        let segmentation = self.perception.step(stamp, &frame)?;
        Ok((frame, segmentation))
    }

    fn rectified(&self, side: usize, full: &Rgb) -> anyhow::Result<Rgb> {
        let (width, height) = self.size;
        let Some(maps) = &self.maps else { return Ok(picture::resize(full, width, height)?) };
        let (x, y) = &maps[side];
        let mut out = Mat::default();
        imgproc::remap(
            &picture::to_mat(full)?,
            &mut out,
            x,
            y,
            imgproc::INTER_LINEAR,
            BORDER_CONSTANT,
            Scalar::default(),
        )?;
        Ok(picture::resize(&picture::from_mat(&out)?, width, height)?)
    }
}

/// A camera of a picture of another size.
fn scaled(camera: &CameraModel, (width, height): (usize, usize)) -> CameraModel {
    let (x, y) = (width as f64 / camera.width as f64, height as f64 / camera.height as f64);
    CameraModel {
        width,
        height,
        fx: camera.fx * x,
        fy: camera.fy * y,
        cx: (camera.cx + 0.5) * x - 0.5,
        cy: (camera.cy + 0.5) * y - 0.5,
        distortion: [0.0; 5],
    }
}

/// Where each rectified pixel comes from.
fn maps(cameras: &Cameras) -> anyhow::Result<Option<[(Mat, Mat); 2]>> {
    let Some(lenses) = cameras.lenses() else { return Ok(None) };
    let c = &cameras.eyes.camera;
    let projection = Mat::from_slice_2d(&[[c.fx, 0.0, c.cx], [0.0, c.fy, c.cy], [0.0, 0.0, 1.0]])?;
    let size = Size::new(c.width as i32, c.height as i32);
    let of = |(lens, turn): (&proctor_calibration::Intrinsics, &nalgebra::Matrix3<f64>)| {
        let matrix = Mat::from_slice_2d(&[[lens.fx, 0.0, lens.cx], [0.0, lens.fy, lens.cy], [0.0, 0.0, 1.0]])?;
        let distortion = Mat::from_slice(&lens.distortion)?.try_clone()?;
        let row = |r: usize| [turn[(r, 0)], turn[(r, 1)], turn[(r, 2)]];
        let turn = Mat::from_slice_2d(&[row(0), row(1), row(2)])?;
        let (mut x, mut y) = (Mat::default(), Mat::default());
        calib3d::init_undistort_rectify_map(&matrix, &distortion, &turn, &projection, size, CV_32FC1, &mut x, &mut y)?;
        Ok::<_, opencv::Error>((x, y))
    };
    let [left, right] = lenses.map(of);
    Ok(Some([left?, right?]))
}

/// Finds the bases that nobody told, from the ends of the jaws that perception sees in a few hundred of the pictures: those that were taken before the
/// endoscope `leaves` its first place, if it does.
pub fn find_bases(
    seeing: &mut Seeing,
    pictures: &mut Pictures,
    arms: &mut [Arm],
    (args, leaves): (&FuseArgs, Option<i64>),
    notes: &mut Vec<String>,
) -> anyhow::Result<()> {
    let origin = pictures.first_stamp();
    let since = |ns: i64| (ns - origin) as f64 * 1e-9;
    // Of each picture the leftmost and the rightmost end of jaws.
    let mut sides: [Vec<Seen>; 2] = [Vec::new(), Vec::new()];
    pictures.for_each(pictures.len().div_ceil(LOOKS), |moment| {
        if leaves.is_some_and(|leaves| moment.stamp >= leaves) {
            return Ok(());
        }
        let stamp = Stamp::FIRST.plus(std::time::Duration::from_secs_f64(since(moment.stamp).max(0.0)));
        let (_, segmentation) = seeing.see(&moment, stamp)?;
        let mut ends: Vec<_> = (segmentation.keypoints.iter())
            .filter(|k| k.part == Class::InstrumentJaws && k.confidence >= CONFIDENT)
            .map(|k| nalgebra::Point2::new(k.u, k.v))
            .collect();
        ends.sort_by(|a, b| a.x.total_cmp(&b.x));
        for (side, end) in sides.iter_mut().zip([ends.first(), ends.last()]) {
            side.extend(end.map(|left| Seen { t: since(moment.stamp), left: *left, right: None }));
        }
        Ok(())
    })?;
    let instruments = Instruments::of_arguments(&args.instrument)?;
    let alone = arms.len() == 1;
    for arm in arms.iter_mut().filter(|a| a.base.is_none()) {
        let instrument = instruments.of(arm.id)?;
        let (chain, end) = (Chain::psm(&instrument)?, Point3::new(0.0, 0.0, instrument.jaw_length));
        let placed: Vec<Placed> = (arm.states.iter())
            .filter_map(|(ns, q, _, _)| Some(Placed { t: since(*ns), at: chain.fk(q).ok()?.transform(&end) }))
            .collect();
        let way = Way::new(&placed);
        // PSM1 stands on the right of the picture; of a lone arm nobody knows.
        let tried = sides.iter().zip([ArmId::Psm2, ArmId::Psm1]).filter(|(_, id)| alone || *id == arm.id);
        let fits = tried.filter_map(|(seen, _)| {
            let eyes = Eyes { baseline: None, ..seeing.eyes() };
            let recording = Recording {
                seen: seen.clone(),
                way: way.clone(),
                eyes,
                camera_from_base: None,
                max_offset: args.max_offset,
            };
            points::fit(&recording).ok()
        });
        match fits.min_by(|a, b| a.rms_px.total_cmp(&b.rms_px)).filter(|f| f.rms_px < MOST_PX) {
            Some(fit) => {
                notes.push(format!(
                    "{}: no hand-eye file; the base was found from the ends of the jaws in {} pictures, {:.1} px RMS",
                    arm.id,
                    fit.residuals.len(),
                    fit.rms_px
                ));
                (arm.base, arm.shift) = (Some(fit.camera_from_base), fit.offset.seconds());
            }
            None => notes.push(format!("{}: no hand-eye file, and the pictures do not tell where its base is", arm.id)),
        }
    }
    Ok(())
}
