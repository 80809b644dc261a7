//! Recorded signals in the WFDB format of PhysioNet (header(5), signal(5) and annot(5) of its Applications Guide): headers, samples of the
//! formats 16 and 212, and annotations. It opens no file: who calls it has the bytes. What it does not understand it refuses.

mod annotation;
mod header;
mod samples;

pub use annotation::{Annotation, AnnotationError, annotations};
pub use header::{Format, Header, HeaderError, SIGNALS_MAX, Signal};
pub use samples::{SAMPLES_MAX, SamplesError};
