//! Arguments of Keras's layers that change no number of a model that is read with its weights. Any other argument is
//! read, or refused.

use serde_json::Value;

/// Of every class.
pub(super) const EVERYWHERE: [&str; 28] = [
    // What the model around it says as well.
    "name",
    "dtype",
    "batch_shape",
    "batch_input_shape",
    "batch_size",
    "input_shape",
    "input_dim",
    "input_length",
    "input_dtype",
    // How Keras computes, not what.
    "autocast",
    "dynamic",
    "implementation",
    "consume_less",
    "unroll",
    "enable_caching_device",
    "use_cudnn",
    "supports_masking",
    // What LoRA learnt is in the kernels of the file.
    "lora_rank",
    "lora_alpha",
    // Random numbers are this crate's own.
    "seed",
    "rng_type",
    "force_generator",
    // Initial values of Keras 1; later ones end in `_initializer`. The values come with the file.
    "init",
    "inner_init",
    "forget_bias_init",
    "beta_init",
    "gamma_init",
    "weights",
];

/// Of some classes.
const OF_CLASSES: &[(&str, &[&str])] = &[
    ("InputLayer", &["input_tensor", "shape", "optional"]),
    ("BatchNormalization", &["fused", "synchronized", "renorm_clipping", "renorm_momentum"]),
    ("BatchNormalizationV1", &["fused", "renorm_clipping", "renorm_momentum"]),
    ("BatchNormalizationV2", &["fused", "renorm_clipping", "renorm_momentum"]),
    ("SyncBatchNormalization", &["fused", "synchronized", "renorm_clipping", "renorm_momentum"]),
    // Constants are refused where they are given.
    ("RNN", &["num_constants", "constants"]),
    ("LSTM", &["num_constants"]),
    ("GRU", &["num_constants"]),
    ("SimpleRNN", &["num_constants"]),
    ("ConvLSTM2D", &["num_constants", "unit_forget_bias"]),
    ("CuDNNLSTM", &["num_constants"]),
    ("CuDNNGRU", &["num_constants"]),
    ("Bidirectional", &["num_constants"]),
    ("Merge", &MERGE),
    // How Keras computes, and the shapes that it was built on.
    ("MultiHeadAttention", &["flash_attention", "query_shape", "value_shape", "key_shape"]),
    // An argument of the class it is made of, of which it makes nothing.
    ("AdditiveAttention", &["score_mode"]),
    ("GroupedQueryAttention", &["flash_attention"]),
    ("GroupQueryAttention", &["flash_attention"]),
    // A product with a one-hot matrix in the place of a look-up.
    ("Embedding", &["use_one_hot_matmul"]),
    // A sparse tensor holds the same numbers; sizes and types follow from the vocabulary.
    ("TextVectorization", &["sparse", "vocabulary_size", "has_input_vocabulary"]),
    ("StringLookup", &LOOKUP),
    ("IntegerLookup", &LOOKUP),
    ("Hashing", &["sparse"]),
    ("CategoryEncoding", &["sparse"]),
    // How boundaries were learnt.
    ("Discretization", &["sparse", "num_bins", "epsilon"]),
    // Its own l1 and l2 once more.
    ("ActivityRegularization", &["activity_regularizer"]),
];

/// Of what looks tokens up; of texts unknown ones are hashed by either method.
const LOOKUP: [&str; 6] = [
    "sparse",
    "vocabulary_size",
    "has_input_vocabulary",
    "has_static_table",
    "vocabulary_dtype",
    "oov_method",
];

/// Of Keras 1's Merge with a function, which is refused.
const MERGE: [&str; 9] = [
    "arguments",
    "layers",
    "mode_type",
    "node_indices",
    "output_mask",
    "output_mask_type",
    "output_shape",
    "output_shape_type",
    "tensor_indices",
];

/// Arguments that say nothing while they are false.
const WHERE_FALSE: [&str; 5] =
    ["sparse", "ragged", "optional", "reverse_state_order", "zero_output_for_mask"];

/// Whether an argument changes no number.
pub(super) fn is_ignored(class: &str, name: &str, value: &Value) -> bool {
    EVERYWHERE.contains(&name)
        || name.ends_with("_initializer")
        || OF_CLASSES.iter().any(|(of, names)| *of == class && names.contains(&name))
        || WHERE_FALSE.contains(&name) && *value == Value::Bool(false)
}
