//! Characters that appear together only in mojibake: the rules of ftfy 6.3 (`BADNESS_RE`; copyright 2023 Robyn Speer,
//! Apache-2.0).

use std::sync::LazyLock;

use regex::Regex;

/// Classes of characters, by their names in the rules.
const CLASSES: [(&str, &str); 13] = [
    ("{common}", "\u{a0}\u{ad}´·–-―’…"),
    ("{c1}", "\u{80}-\u{9f}"),
    ("{bad}", "¤¦¨ª¬¯¸ºƒˆˇ˘˛˜†‡‰⌐◊�"),
    ("{law}", "§¶"),
    ("{currency}", "¢£¥₧€"),
    ("{start}", "¡©«¿΄΅‘‚“„•‹\u{f8ff}"),
    ("{end}", "®»˝”›™"),
    ("{numeric}", "±-³µ¹¼-¾×÷⁄№∂∆∏∑√∞∩∫≈≠≡≤≥"),
    // The characters of kaomoji.
    ("{kaomoji}", "°Ò-ÖÙ-Üò-öø-üŌŐŪŲ"),
    ("{upper}", "À-ÑØÜÝĀĂĄĆČĎĐĒĖĘĚĞĢĪİĶĹĻĽŁŃŅŇŒŘŚŞŠŢŤŮŰŸŹŻŽҐ"),
    ("{lower}", "ß-ñüāăąćčďđēėęěģīįķĺļľłœŕśşšťźżžґﬁﬂ"),
    // Greek and Cyrillic.
    ("{letter}", "ÞΆΈ-ΊΌΎΏΑ-ΫЁ-Яά-ωа-џ"),
    ("{box}", "│┌┐┘├┤┬┼═-╬▀▄█▌▐-▓"),
];

/// One rule per line.
const RULES: &str = r"[{c1}]
[{bad}{lower}{upper}{box}{start}{end}{currency}{numeric}{law}][{bad}]
[a-zA-Z][{letter}][{bad}]
[{bad}][{lower}{upper}{box}{start}{end}{currency}{numeric}{law}]
[{lower}ά-ωа-џ{box}{end}{currency}{numeric}][{upper}]
[{box}{end}{currency}{numeric}][{lower}]
[{lower}{box}{end}][{currency}]
[\s\x1c-\x1f][{upper}][{currency}]
[{upper}{box}][{numeric}{law}]
[{lower}{upper}{box}{currency}{end}][{start}][{numeric}]
[{lower}{upper}{currency}{numeric}{box}{law}][{end}][{start}]
[{currency}{numeric}{box}][{start}]
[a-z][{upper}][{start}{currency}]
[{box}][{kaomoji}]
[{lower}{upper}{currency}{numeric}{start}{end}{law}][{box}]
[{box}][{end}]
[{lower}{upper}][{start}{end}][\p{L}\p{N}_]
[Œœ][^A-Za-z]
[{upper}]°
[ÂÃÎÐ][€œŠš¢£Ÿž\xa0\xad®©°·»{start}{end}–—´]
×[²³]
[ØÙ][{common}{currency}{bad}{numeric}{start}ŸŠ®°µ»][ØÙ][{common}{currency}{bad}{numeric}{start}ŸŠ®°µ»]
à[²µ¹¼½¾]
√[±∂†≠®™´≤≥¥µø]
≈[°¢]
‚Ä[ìîïòôúùû†°¢π]
‚[âó][àä°ê]
вЂ
[ВГРС][{c1}{bad}{start}{end}{currency}°µ][ВГРС]
ГўВЂВ.[A-Za-z ]
Ã[\xa0¡]
[a-z][\s\x1c-\x1f]?[ÃÂ][ ]
^[ÃÂ][ ]
[a-z.,?!{end}]Â[ {start}{end}]
β€[™\xa0Ά\xad®°]
[ΒΓΞΟ][{c1}{bad}{start}{end}{currency}°][ΒΓΞΟ]
ā€";

/// Returns whether a text looks like mojibake.
pub(super) fn is_bad(text: &str) -> bool {
    static RULE: LazyLock<Regex> = LazyLock::new(|| {
        let rules = RULES.lines().collect::<Vec<_>>().join("|");
        Regex::new(&CLASSES.iter().fold(rules, |rules, (name, class)| rules.replace(name, class))).unwrap()
    });
    RULE.is_match(text)
}
