"""Names that have hurt other programs, each with what it tries, and what it must become on a disk.

The one source: every test of names draws on it, wherever a name can enter or come out.
"""

from __future__ import annotations

HOSTILE: dict[str, tuple[str, str]] = {
    # what it tries: (name, the safe name it becomes)
    "climbs out": ("../x", ".._x"),
    "absolute": ("/x", "_x"),
    "climbs out from inside": ("a/../../x", "a_.._.._x"),
    "climbs out with backslashes": ("..\\x", ".._x"),
    "drive letter": ("C:\\x", "C__x"),
    "drive letter without a slash": ("C:x", "C_x"),
    "network share": ("\\\\srv\\x", "__srv_x"),
    "device namespace": ("\\\\?\\C:\\x", "____C__x"),
    "reserved": ("CON", "_CON"),
    "reserved in lower case with extension": ("nul.txt", "_nul.txt"),
    "reserved with two extensions": ("aux.tar.gz", "_aux.tar.gz"),
    "reserved with a space before the extension": ("prn .txt", "_prn .txt"),
    "reserved with a digit": ("COM1", "_COM1"),
    "reserved with a superscript digit": ("lpt²", "_lpt²"),
    "reserved console": ("CONIN$", "_CONIN$"),
    "reserved behind a trailing dot": ("con.", "_con"),
    "reserved behind trailing spaces": ("con  ", "_con"),
    "alternate stream": ("a:b", "a_b"),
    "alternate data stream": ("x.txt::$DATA", "x.txt__$DATA"),
    "trailing dot": ("x.", "x"),
    "trailing space": ("x ", "x"),
    "trailing dots and spaces": ("x. . ", "x"),
    "empty": ("", "unnamed"),
    "here": (".", "unnamed"),
    "above": ("..", "unnamed"),
    "dots": ("...", "unnamed"),
    "spaces": ("   ", "unnamed"),
    "300 bytes": ("x" * 300, "x" * 255),
    "300 bytes with an extension": ("x" * 300 + ".mp3", "x" * 251 + ".mp3"),
    "300 bytes in characters of three": ("東" * 100, "東" * 85),
    "an extension longer than a name may be": ("x." + "y" * 300, "x." + "y" * 253),
    "a cut that uncovers a reserved name": ("con" + " " * 300 + "x", "_con"),
    "a cut that uncovers a trailing dot": ("x" * 254 + "." + "y" * 300, "x" * 254),
    "NUL": ("a\0b", "a_b"),
    "newline": ("a\nb", "a_b"),
    "carriage return": ("a\rb", "a_b"),
    "carriage return at the end": ("ends\r", "ends_"),
    "the line control of progress bars": ("over\r\x1b[2Kwritten", "over__[2Kwritten"),
    "a cursor that climbs as progress bars do": ("over\r\x1b[1A\x1b[2Kwritten", "over__[1A_[2Kwritten"),
    "the colours of tables": ("in \x1b[1;32mgreen\x1b[0m", "in _[1;32mgreen_[0m"),
    "a cursor that stays away": ("no\x1b[?25lcursor", "no_[_25lcursor"),
    "tab": ("a\tb", "a_b"),
    "escape sequence": ("\x1b[31mred\x1b[0m", "_[31mred_[0m"),
    "terminal title": ("\x1b]0;owned\x07", "_]0;owned_"),
    "delete": ("a\x7fb", "a_b"),
    "C1 control sequence introducer": ("a\x9b31mb", "a_31mb"),
    "next line": ("a\x85b", "a_b"),
    "right-to-left override": ("invoice\u202efdp.exe", "invoicefdp.exe"),
    "isolate": ("a\u2066b\u2069", "ab"),
    "left-to-right mark": ("a\u200eb", "ab"),
    "Arabic letter mark": ("a\u061cb", "ab"),
    "zero-width space": ("pass\u200bword", "password"),
    "zero-width joiner": ("ad\u200dmin", "admin"),
    "word joiner": ("a\u2060b", "ab"),
    "byte order mark": ("\ufeffa", "a"),
    "soft hyphen": ("a\u00adb", "ab"),
    "Hangul filler, which looks like nothing": ("\u3164", "unnamed"),
    "tag characters": ("a\U000e0041b", "ab"),
    "line separator": ("a\u2028b", "ab"),
    "dots split by what goes": (".\u200b.", "unnamed"),
    "reserved split by what goes": ("c\u200bon", "_con"),
    "invalid UTF-8": (b"a\xff\xfeb".decode(errors="surrogateescape"), "a__b"),
    "a lone surrogate": ("a\ud800b", "a_b"),
    "decomposed": ("Mu\u0301sica", "Música"),
    "Kelvin sign": ("\u212a", "K"),
    "Greek question mark, which becomes a semicolon": ("a\u037eb", "a;b"),
    "a composition split by what goes": ("e\u200b\u0301", "é"),
    "an overlaid bracket split by what goes": ("<\u200b\u0338", "_\u0338"),
    "wildcards": ("a*?b", "a__b"),
    "redirections": ("a<b>|c", "a_b__c"),
    "quotation mark": ('a"b', "a_b"),
}

HARMLESS = {
    "plain": "song.mp3",
    "an option": "-rf",
    "another option": "--help",
    "a home": "~",
    "a variable": "$HOME",
    "a command": "`id`;$(id)&",
    "a dot file": ".bashrc",
    "dots inside": "a..b",
    "dots before": "...a",
    "spaces inside and before": "  a b",
    "accents": "Música Popular – 01.mp3",
    "another script": "हिन्दी गीत.txt",
    "no spaces": "東京物語.mkv",
    "right to left": "שלום.txt",
    "an emoji with a variation selector": "☀️.png",
    "255 bytes": "x" * 255,
    "starts like a reserved name": "console",
    "reserved as an extension": "x.con",
    "a number too many": "COM10",
    "percent signs": "%2e%2e%2fx",
    "looks like our unfinished files": ".x.dhtshare-part",
}

COLLIDING: dict[str, tuple[str, str]] = {
    # why only one of them fits on some disk: (one path, another)
    "equal after case folding": ("Song.mp3", "song.MP3"),
    "equal after case folding, beyond ASCII": ("Straße", "STRASSE"),
    "folders equal after case folding": ("Album/a", "album/b"),
    "equal after NFC": ("Mu\u0301sica", "M\u00fasica"),
    "equal twice": ("same", "same"),
    "a name that is another's folder": ("album", "album/one"),
    "a folder, but for case": ("Album", "album/one"),
    "an empty folder that is not empty": ("album/", "album/one"),
}


def steers(text: str) -> set[str]:
    """The characters of a text that steer a terminal or are drawn as nothing: none may reach one, but newlines."""
    ranges = ((0x00, 0x09), (0x0B, 0x1F), (0x7F, 0x9F), (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F))
    single = {0x00AD, 0x061C, 0x180E, 0xFEFF, 0xFFF9, 0xFFFA, 0xFFFB}
    return {
        character
        for character in text
        if ord(character) in single
        or any(first <= ord(character) <= last for first, last in ranges)
        or 0xE0000 <= ord(character) <= 0xE007F
        or 0xD800 <= ord(character) <= 0xDFFF
    }
