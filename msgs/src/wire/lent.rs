//! Pixels that messages share with the picture they come from, so that a picture becomes a message, and in memory a
//! picture again, without a copy.

use bytemuck::Pod;
use hiroz::ZBuf;
use proctor_types::Image;
use std::{any::Any, fmt};
use zenoh_buffers::{ZBuf as Slices, ZSlice, ZSliceBuffer};

/// A pixel that is its bytes.
pub(super) trait Lendable: Pod + fmt::Debug + Send + Sync {}

impl<P: Pod + fmt::Debug + Send + Sync> Lendable for P {}

#[derive(Debug)]
struct Lent<P>(Image<P>);

impl<P: Lendable> ZSliceBuffer for Lent<P> {
    fn as_slice(&self) -> &[u8] {
        bytemuck::cast_slice(self.0.pixels())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// The picture's bytes.
pub(super) fn lend<P: Lendable>(image: &Image<P>) -> ZBuf {
    ZBuf::from(Slices::from(ZSlice::from(Lent(image.clone()))))
}

/// The picture whose bytes these are, if they were lent by one of this size.
pub(super) fn lender<P: Lendable>(bytes: &ZBuf, (width, height): (usize, usize)) -> Option<Image<P>> {
    let mut slices = bytes.zslices();
    let (slice, None) = (slices.next()?, slices.next()) else { return None };
    let Lent(image) = slice.downcast_ref::<Lent<P>>()?;
    let whole = slice.len() == size_of_val(image.pixels());
    (whole && (image.width(), image.height()) == (width, height)).then(|| image.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image<[u8; 3]> {
        Image::new(2, 1, vec![[1, 2, 3], [4, 5, 6]]).unwrap()
    }

    #[test]
    fn a_lent_picture_comes_back_as_itself() {
        let image = image();
        let bytes = lend(&image);
        let again = lender::<[u8; 3]>(&bytes, (2, 1)).unwrap();
        assert!(std::ptr::eq(again.pixels(), image.pixels()));
    }

    #[test]
    fn what_is_not_the_whole_lent_picture_does_not_come_back() {
        let bytes = lend(&image());
        assert!(lender::<[u8; 3]>(&bytes, (1, 2)).is_none(), "another size");
        assert!(lender::<u8>(&bytes, (6, 1)).is_none(), "other pixels");
        let part = bytes.zslices().next().unwrap().subslice(0..3).unwrap();
        assert!(lender::<[u8; 3]>(&ZBuf::from(Slices::from(part)), (2, 1)).is_none(), "a part");
        assert!(lender::<[u8; 3]>(&ZBuf::from(vec![1, 2, 3, 4, 5, 6]), (2, 1)).is_none(), "bytes of nobody");
    }
}
