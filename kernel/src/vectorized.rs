//! Plain loops that the compiler makes vectors of, with the instructions that this machine has.
//!
//! No value depends on the width of the vectors: what is added up is added in an order that the loop spells out, and
//! where a product and a sum are to be rounded once, it says `mul_add`.

/// A function of plain loops, compiled once for each instruction set. Its body must call nothing that is not inlined.
///
/// The inner function is there for its arguments: only of those the compiler knows that they do not overlap.
macro_rules! vectorized {
    ($(#[$doc:meta])* $vis:vis fn $name:ident<$life:lifetime>($($arg:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name<$life>($($arg: $type),*) {
            struct Loop<$life>($($type,)* std::marker::PhantomData<&$life ()>);

            #[inline(always)]
            fn inner<$life>($($arg: $type),*) $body

            impl<$life> pulp::WithSimd for Loop<$life> {
                type Output = ();

                #[inline(always)]
                fn with_simd<S: pulp::Simd>(self, _: S) {
                    let Self($($arg,)* _) = self;
                    inner($($arg),*)
                }
            }

            $crate::isa::dispatch(Loop($($arg,)* std::marker::PhantomData))
        }
    };
}

pub(crate) use vectorized;

/// Numbers that one thread works through at a time: some ten microseconds.
pub(crate) const SHARE: usize = 16_384;

/// Samples of so many numbers that one thread takes at a time.
pub(crate) fn samples(size: usize) -> usize {
    (SHARE / size.max(1)).max(1)
}
