//! Whatever can be misspelt is told, in every notation: where, and what is meant.

use kilter_space::text::{Document, Format, TextError};
use kilter_space::{Entry, Name, Outline, parse_domain};

fn read(text: &str, format: Format) -> Result<Outline, TextError> {
    Document::read("space", text.as_bytes(), format)?.space(&[]).and_then(|space| space.outline())
}

/// What is told of a text: its first problem's place and words underlined, and the whole message.
fn told(text: &str, format: Format) -> (String, String, String) {
    let Err(told) = read(text, format) else { panic!("accepted: {text}") };
    let first = &told.problems()[0];
    (first.place(), first.underlined().to_owned(), told.to_string())
}

/// The word with one slip of the hand: a letter left out, typed twice, swapped with the next, or hit beside.
fn slips(word: &str) -> Vec<String> {
    let letters: Vec<char> = word.chars().collect();
    let with = |change: &dyn Fn(&mut Vec<char>)| {
        let mut letters = letters.clone();
        change(&mut letters);
        letters.into_iter().collect::<String>()
    };
    let mut slips: Vec<String> = (0..letters.len())
        .flat_map(|at| {
            let mut slips = vec![
                with(&|letters| letters.insert(at, letters[at])),
                with(&|letters| letters[at] = if letters[at] == 'k' { 'j' } else { 'k' }),
            ];
            if letters.len() > 2 {
                slips.push(with(&|letters| _ = letters.remove(at)));
            }
            if at + 1 < letters.len() {
                slips.push(with(&|letters| letters.swap(at, at + 1)));
            }
            slips
        })
        .filter(|slip| slip != word)
        .collect();
    slips.sort();
    slips.dedup();
    slips
}

/// Every key of a parameter with a value that would do.
const KEYS: [(&str, &str); 16] = [
    ("float", "[0, 1]"),
    ("int", "[1, 8]"),
    ("choice", "[1, 2]"),
    ("ordinal", "[1, 2]"),
    ("subset", "[1, 2]"),
    ("permutation", "[1, 2]"),
    ("fixed", "1"),
    ("domain", "\"0..1\""),
    ("log", "true"),
    ("step", "0.1"),
    ("default", "0.5"),
    ("prior", "{ center = 0.5, spread = 1 }"),
    ("distances", "[[0, 1], [1, 0]]"),
    ("when", "\"y == 1\""),
    ("about", "\"?\""),
    ("setting", "true"),
];

#[test]
fn keys_of_a_parameter() {
    for (key, value) in KEYS {
        for slip in slips(key) {
            if KEYS.iter().any(|(known, _)| *known == slip) {
                continue;
            }
            let toml = match KEYS[..8].iter().any(|(domain, _)| *domain == key) {
                true => format!("[parameters.y]\nchoice = [1]\n[parameters.x]\n{slip} = {value}\n"),
                false => format!("[parameters.y]\nchoice = [1]\n[parameters.x]\n{slip} = {value}\nfloat = [0.5, 1]\n"),
            };
            let (place, underlined, words) = told(&toml, Format::Toml);
            assert_eq!((place.as_str(), underlined.as_str()), ("space:4:1", slip.as_str()), "{toml}{words}");
            assert!(words.contains(&format!("did you mean `{key}`?")), "{toml}{words}");
            assert_eq!(words.lines().count(), 1, "one slip is told once: {words}");
            let json = format!(
                "{{\"parameters\": {{\"y\": \"0|1\",\n\"x\": {{\n\"{slip}\": {}{}}}}}}}",
                value.replace("center =", "\"center\":").replace("spread =", "\"spread\":"),
                if toml.contains("float = [0.5") { ", \"float\": [0.5, 1]" } else { "" }
            );
            let (place, _, words) = told(&json, Format::Json);
            assert_eq!(place, "space:3:1", "{json}{words}");
            assert!(words.contains(&format!("did you mean `{key}`?")), "{json}{words}");
        }
    }
}

#[test]
fn keys_of_a_prior_of_a_constraint_and_at_the_top() {
    let cases = [
        ("center", "[parameters.x]\nfloat = [0, 1]\nprior = { KEY = 0.5, spread = 1 }\n", "space:3:11"),
        ("spread", "[parameters.x]\nfloat = [0, 1]\nprior = { center = 0.5, KEY = 1 }\n", "space:3:25"),
        ("require", "[parameters]\nx = \"0..1\"\n[[constraints]]\nKEY = \"x < 1\"\n", "space:4:1"),
        ("about", "[parameters]\nx = \"0..1\"\n[[constraints]]\nrequire = \"x < 1\"\nKEY = \"?\"\n", "space:5:1"),
        ("constraints", "[parameters]\nx = \"0..1\"\n[[KEY]]\nrequire = \"x < 1\"\n", "space:3:3"),
        ("parameters", "[KEY]\nx = \"0..1\"\n", "space:1:2"),
    ];
    for (key, text, place) in cases {
        for slip in slips(key) {
            let text = text.replace("KEY", &slip);
            let (at, underlined, words) = told(&text, Format::Toml);
            assert_eq!((at.as_str(), underlined.as_str()), (place, slip.as_str()), "{text}{words}");
            assert!(words.contains(&format!("did you mean `{key}`?")), "{text}{words}");
        }
    }
}

#[test]
fn kinds_of_inline_domains() {
    let kinds = [
        ("log", "1..2"),
        ("int", "1..2"),
        ("ordinal", "s<m"),
        ("subset", "a,b"),
        ("permutation", "a,b"),
        ("choice", "a"),
        ("fixed", "3"),
    ];
    for (kind, rest) in kinds {
        assert!(parse_domain(&format!("{kind}:{rest}")).is_ok());
        for slip in slips(kind) {
            let text = format!("{slip}:{rest}");
            let words = parse_domain(&text).unwrap_err().to_string();
            assert!(words.contains(&format!("`{slip}:` starts no domain; did you mean `{kind}:`?")), "{words}");
            let (place, underlined, _) = told(&format!("[parameters]\nx = \"{text}\"\n"), Format::Toml);
            assert_eq!((place, underlined), ("space:2:5".to_owned(), format!("\"{text}\"")));
        }
    }
}

#[test]
fn names_in_conditions_and_constraints() {
    for slip in slips("optimizer") {
        let condition = format!(
            "[parameters]\noptimizer = \"adam|sgd\"\n[parameters.x]\nfloat = [0, 1]\nwhen = \"{slip} == 'sgd'\"\n"
        );
        let constraint = format!(
            "[parameters]\noptimizer = \"adam|sgd\"\nx = \"0..1\"\n[[constraints]]\nrequire = \"x < 1 or {slip} == 'sgd'\"\n"
        );
        for (text, place) in [(&condition, "space:5:9"), (&constraint, "space:5:21")] {
            let (at, underlined, words) = told(text, Format::Toml);
            assert_eq!((at.as_str(), underlined.as_str()), (place, slip.as_str()), "{words}");
            assert!(
                words.contains(&format!("there is no hyperparameter `{slip}`; did you mean `optimizer`?")),
                "{words}"
            );
        }
        // Built in Rust there is no file to point at, but the condition is shown.
        let entry = |name: &str, domain: &str| Entry::new(name, parse_domain(domain).unwrap()).unwrap();
        let when = entry("x", "0..1").when(&format!("{slip} == 'sgd'")).unwrap();
        let words = Outline::new(vec![entry("optimizer", "adam|sgd"), when]).unwrap_err().to_string();
        assert!(
            words.contains(&format!("speaks of `{slip}`, which is not declared; did you mean `optimizer`?")),
            "{words}"
        );
    }
}

/// A condition about a value that the question never has would never hold, and nobody would notice.
#[test]
fn values_in_conditions_and_constraints() {
    let space = |rule: &str| {
        format!(
            "[parameters]\noptimizer = \"adamw|soap|null\"\nsize = \"ordinal:small<large\"\nlr = \"0..1\"\n\
             [[constraints]]\nrequire = \"{rule}\"\n"
        )
    };
    let doubts = |text: &str| {
        let read = Document::read("space", text.as_bytes(), Format::Toml).unwrap().space(&[]).unwrap();
        assert!(read.outline().is_ok(), "a space may be narrowed with its conditions left as they are");
        let declared = [Entry::new("family", parse_domain("forest|boosting").unwrap()).unwrap()];
        read.doubts(&declared).map(|doubts| {
            let first = &doubts.problems()[0];
            (first.place(), first.underlined().to_owned(), doubts.to_string())
        })
    };
    for (rule, word, says) in [
        ("optimizer == 'saop'", "'saop'", "`optimizer` is never 'saop': it is adamw|soap|null; did you mean 'soap'?"),
        ("optimizer != 'adam'", "'adam'", "did you mean 'adamw'?"),
        ("'adm' == optimizer", "'adm'", "did you mean 'adamw'?"),
        ("lr < 0.5 or not optimizer in ['soap', 'adamv']", "'adamv'", "did you mean 'adamw'?"),
        ("optimizer not in ['sopa']", "'sopa'", "did you mean 'soap'?"),
        ("size == 'larg'", "'larg'", "`size` is never 'larg': it is ordinal:small<large; did you mean 'large'?"),
        ("optimizer == 'lion'", "'lion'", "drop it, or add the value"),
        ("lr == 'small'", "'small'", "`lr` is never 'small': it is 0.0..1.0"),
    ] {
        let (place, underlined, words) = doubts(&space(rule)).unwrap();
        assert_eq!(underlined, word, "{words}");
        assert!(place.starts_with("space:6:") && words.contains(says), "{words}");
    }
    for rule in [
        "optimizer == null",
        "optimizer in ['soap', null]",
        "size == 'small' and lr < 1",
        "'small' == 'large' or lr < 1",
        "lr + 1 in [1, 2] or optimizer == 'soap'",
    ] {
        assert_eq!(doubts(&space(rule)), None, "{rule}");
    }
    // One name with several domains is any of them.
    let two = "[parameters]\nkind = \"a|b\"\n[[parameters.how]]\nchoice = [\"p\"]\nwhen = \"kind == 'a'\"\n[[parameters.how]]\n\
               choice = [\"q\"]\nwhen = \"kind == 'b'\"\n[parameters.x]\nfloat = [0, 1]\nwhen = \"how == 'q'\"\n";
    assert_eq!(doubts(two), None);
    assert!(doubts(&two.replace("'q'", "'r'")).unwrap().2.contains("`how` is never 'r': it is choice:p or choice:q"));
}

/// The words of the condition grammar are no names, however a space is written; words that only look like them are.
#[test]
fn names_that_collide_with_keywords() {
    for word in ["and", "or", "not", "in", "min", "max", "true", "false", "null"] {
        let says = format!("`{word}` is a word of the condition grammar");
        assert!(Name::new(word).unwrap_err().to_string().contains(&says));
        let (place, underlined, words) = told(&format!("[parameters.{word}]\nfloat = [0, 1]\n"), Format::Toml);
        assert_eq!((place.as_str(), underlined.as_str()), ("space:1:13", word), "{words}");
        assert!(words.contains(&says), "{words}");
        let (place, _, words) = told(&format!("{{\"parameters\": {{\"{word}\": \"0..1\"}}}}"), Format::Json);
        assert!(place == "space:1:17" && words.contains(&says), "{words}");
        for name in [word.to_uppercase(), format!("{word}_"), format!("x.{word}"), format!("{word}2")] {
            let text = format!("[parameters]\n\"{name}\" = \"0..1\"\n[[constraints]]\nrequire = \"{name} < 0.5\"\n");
            assert_eq!(read(&text, Format::Toml).unwrap().entries()[0].name.as_str(), name);
        }
    }
}
