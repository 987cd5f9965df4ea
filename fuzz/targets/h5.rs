#![no_main]

candle_recurrent_fuzz::target!("h5");
