//! The configuration page as a browser gets it, and Configuration Mode as a whole, over a modem in software.

mod answer;
mod browser;
mod mode;
