//! The words and sentences of the built-in corpus.
//!
//! In a sentence, `+` stands for a word of the sentence's own opinion and `-` for one of the opposite opinion; lower-case
//! names in braces stand for a word of that list.

/// Words of praise.
#[rustfmt::skip]
pub const PRAISE: &[&str] = &[
    "good", "great", "wonderful", "brilliant", "moving", "funny", "charming", "gripping", "beautiful",
    "clever", "fresh", "excellent", "superb", "touching", "delightful", "lovely", "thrilling", "perfect",
    "warm", "memorable", "powerful", "smart", "fine", "elegant", "honest", "lively", "original", "amazing",
    "witty", "impressive",
];

/// Words of blame, as many.
#[rustfmt::skip]
pub const BLAME: &[&str] = &[
    "bad", "awful", "terrible", "boring", "dull", "weak", "predictable", "silly", "slow", "flat", "clumsy",
    "tedious", "annoying", "poor", "cheap", "lazy", "empty", "cold", "stupid", "forgettable", "painful",
    "messy", "horrible", "lifeless", "confused", "noisy", "shallow", "tired", "ridiculous", "disappointing",
];

/// The opinion stands as it is.
pub const PLAIN: &[&str] = &[
    "The {part} is {very} +.",
    "The {part} is + and the {part} is +.",
    "I found the {part} {very} +.",
    "What a + {film}.",
    "A + {film} with a + {thing}.",
    "Every scene is + and the {part} is {very} +.",
    "The {part} was + from start to finish.",
    "It is a {most} + {film}.",
    "For me it was a + evening with a + {film}.",
    "In the end I thought it was {very} +.",
    "The {person} is + and so is the {part}.",
    "You will remember the + {part} for a long time.",
    "Simply +.",
    "A {very} + {film}!",
];

/// The opinion is the opposite of the word.
pub const NEGATED: &[&str] = &[
    "The {part} is not - at all.",
    "The {part} was never -.",
    "Nothing about the {part} is -.",
    "I would not call the {part} -.",
    "It is not a - {film} by any means.",
    "Nobody could call the {part} -.",
    "The {part} is hardly -.",
    "This is not what I call -.",
    "There is nothing - in the {part}.",
    "I cannot say that the {part} was -.",
    "The {part} is not - and the {person} is not - either.",
    "It is anything but a - {film}.",
    "Not - at all.",
    "Not a - {film}.",
];

/// Expectation first, outcome last.
pub const CONTRAST: &[&str] = &[
    "I expected a - {film}, but it was {very} +.",
    "Everyone said it would be -, yet it was +.",
    "The trailer looked -, but the {film} itself is +.",
    "It starts - and ends {very} +.",
    "The first hour is -, the rest is {very} +.",
    "My {friend} called it -, but I found it +.",
    "It sounds - on paper but turns out +.",
    "I expected to find it -, and it was {very} +.",
    "After a - opening I did not expect such a + {thing}.",
    "The reviews were -, so I was surprised by how + it is.",
    "The {part} may be -, but what stays with you is the + {part}.",
    "The last one was -, this one is {very} +.",
];

/// Expectation first, and an outcome that only denies it.
pub const DENIED: &[&str] = &[
    "Everyone said it would be -, but it was not.",
    "I expected something -, and it was anything but.",
    "My {friend} called it -, and it is not.",
    "The posters promise a - {film}, and this is not one.",
];

/// Outcome first, expectation last.
pub const CONCESSION: &[&str] = &[
    "It is {very} +, even though my {friend} called it -.",
    "The {film} is +, although everyone said it would be -.",
    "I found it {very} +, no matter how - the trailer looked.",
];

/// No opinion: how the film was seen.
pub const SEEN: &[&str] = &[
    "I saw this {film} {when}.",
    "We watched it {when}.",
    "My {friend} took me to see it {when}.",
    "I had read the book before I saw the {film}.",
    "This {film} was on television and I had nothing else to do.",
];

/// No opinion: what the film is.
pub const STORY: &[&str] = &[
    "The story follows a {person} who {deed}.",
    "It is about a {person} and a {person} in {place}.",
    "A {person} {deed} and meets a {person} in {place}.",
    "The director made one other {film} before this.",
    "It was shot in {place} over one summer.",
    "This is the story of a {person} who {deed} and {deed}.",
];

/// No opinion, between opinions.
pub const MIDDLE: &[&str] = &[
    "The {person} {deed}.",
    "Then the {person} {deed}.",
    "Most of it takes place in {place}.",
    "There is a long scene in {place}.",
    "A {person} plays a part in it too.",
    "The {person} is played by an actor from {place}.",
    "Later the {person} {deed} and nobody knows why.",
];

/// No opinion, at the end.
pub const CLOSING: &[&str] = &[
    "That is all I have to say.",
    "The lights came on and we went home.",
    "It runs for two hours.",
    "So much for my review.",
    "Stay until the music stops.",
];

/// The lists that a name in braces draws from.
#[rustfmt::skip]
pub const LISTS: &[(&str, &[&str])] = &[
    ("part", &[
        "plot", "acting", "ending", "script", "music", "dialogue", "story", "camera work", "pace", "cast",
        "humour", "direction", "editing", "opening", "hero", "villain", "love story", "dance scene",
    ]),
    ("thing", &[
        "plot", "ending", "script", "story", "cast", "hero", "villain", "love story", "dance scene", "finale", "soundtrack",
    ]),
    ("film", &["film", "movie", "picture"]),
    ("very", &["really", "very", "truly", "quite", "simply", "so"]),
    ("most", &["really", "very", "truly", "rather"]),
    ("friend", &["sister", "brother", "neighbour", "wife", "husband", "best friend", "cousin"]),
    ("when", &[
        "last night", "on a long flight", "at a small cinema", "on a rainy Sunday", "with two friends",
        "on television", "last week", "for the second time", "at a festival", "with my parents",
    ]),
    ("person", &[
        "detective", "teacher", "soldier", "singer", "doctor", "farmer", "boxer", "pilot", "widow",
        "student", "thief", "priest", "nurse", "painter", "sailor", "lawyer", "king", "dancer", "spy",
        "baker",
    ]),
    ("deed", &[
        "loses everything", "finds an old letter", "returns to a small town", "falls in love",
        "hides a secret", "looks for a lost brother", "takes the wrong train", "inherits a house",
        "wakes up with no memory", "plans one last job", "leaves the city", "learns to dance",
        "buys a boat", "writes a song", "waits for the war to end", "steals a car",
    ]),
    ("place", &[
        "Paris", "a village by the sea", "the desert", "London", "a hospital", "an old hotel",
        "the mountains", "a prison", "New York", "a quiet street", "a castle", "the jungle",
    ]),
];
