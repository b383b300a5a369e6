# Text of the header in the language of manual pages: plain(), code(), prose(), filled(); and its comments, which consist of
# paragraphs, lists and code: read_blocks(), show_blocks(), show_code().

# Text as it is shown, wherever it stands.
function plain(text) {
    gsub(/\\/, "\\e", text)
    gsub(/–/, "\\(en", text)
    return text
}

# Text that people copy.
function code(text) {
    text = plain(text)
    gsub(/-/, "\\-", text)
    gsub(/'/, "\\(aq", text)
    gsub(/`/, "\\(ga", text)
    gsub(/\^/, "\\(ha", text)
    gsub(/~/, "\\(ti", text)
    return text ~ /^[.]/ ? "\\&" text : text
}

# One word, name or span of code in a text, with its font.
function token(word,    name, rest) {
    if (word ~ /^`/)
        return "\\fI" code(substr(word, 2, length(word) - 2)) "\\fP"
    if (word ~ /^-[E0-9]/)
        return word ~ /^-E/ ? "\\fB\\" word "\\fP" : "\\" word
    name = word
    sub(/\(.*/, "", name)
    rest = substr(word, length(name) + 1)
    if (name in long_name)
        return "\\fB" name "\\fP" (page_of[long_name[name]] == here ? "()" : "(3)")
    if (kind[name] == "function")
        return "\\fB" name "\\fP" (page_of[name] == here ? "()" : "(3)")
    if (name in kind && name ~ /^bytefd_/)
        return "\\fI" name "\\fP" rest
    if (rest ~ /^\([1-8]\)/)
        return "\\fB" name "\\fP" rest
    if (name ~ /^[A-Z][A-Z0-9]*_[A-Z0-9_]+$/ || name ~ /^(SIG|RLIMIT)[A-Z]+$/)
        return "\\fB" name "\\fP" rest
    return word
}

# A text with fonts.
function prose(text,    result) {
    result = ""
    while (match(text, /`[^`]*`|[A-Za-z_][A-Za-z0-9_]*(\([1-8]\)|\(\))?|-E[A-Z0-9]+|-[0-9]/)) {
        # The hyphen in close-on-exec, and the dash of a range of numbers, are no signs.
        if (substr(text, RSTART, 1) == "-" && RSTART > 1 && substr(text, RSTART - 1, 1) ~ /[A-Za-z0-9_]/) {
            result = result plain(substr(text, 1, RSTART))
            text = substr(text, RSTART + 1)
            continue
        }
        result = result plain(substr(text, 1, RSTART - 1)) token(substr(text, RSTART, RLENGTH))
        text = substr(text, RSTART + RLENGTH)
    }
    return result plain(text)
}

# Lines of at most 78 columns, none of which begins a request.
function filled(text, file,    words, count, i, line) {
    count = split(text, words, " ")
    line = ""
    for (i = 1; i <= count; i++) {
        if (line != "" && length(line) + 1 + length(words[i]) > 78) {
            print line > file
            line = ""
        }
        if (line == "" && words[i] ~ /^[.']/)
            words[i] = "\\&" words[i]
        # Names are not broken.
        if (words[i] ~ /_/)
            words[i] = "\\%" words[i]
        line = line (line == "" ? "" : " ") words[i]
    }
    if (line != "")
        print line > file
}

# Splits a comment into blocks: paragraphs (P), items of lists (L) and code (C).
function read_blocks(text,    lines, count, i, line, open) {
    blocks = 0
    open = ""
    count = split(text, lines, "\n")
    for (i = 1; i <= count; i++) {
        line = lines[i]
        if (line ~ /^```/) {
            if (open != "C")
                add_block(open = "C", "")
            else
                open = ""
        } else if (open == "C") {
            block_text[blocks] = block_text[blocks] (block_text[blocks] == "" ? "" : "\n") line
        } else if (line == "") {
            open = ""
        } else if (line ~ /^- /) {
            add_block(open = "L", substr(line, 3))
        } else if (open == "L" && line ~ /^  / || open == "P") {
            sub(/^ +/, "", line)
            block_text[blocks] = block_text[blocks] " " line
        } else {
            add_block(open = "P", line)
        }
    }
}

function add_block(type, text) {
    block_type[++blocks] = type
    block_text[blocks] = text
}

# Which of the blocks say what a function returns: a paragraph after the first that begins so, and its list.
function returns_from(    i) {
    for (i = blocks; i > 1; i--)
        if (block_type[i] == "P" && block_text[i] ~ /^Returns /)
            return i
    return 0
}

function returns_to(from,    i) {
    for (i = from; i < blocks && block_type[i + 1] == "L"; i++);
    return i
}

# The errors that an item of a list begins with, or the constant if all items begin so; nothing for others.
function tag_of(item,    text, i) {
    text = block_text[item]
    if (match(text, /^-E[A-Z0-9]+((,|,? or) -E[A-Z0-9]+)*(, \.\.\.)?[:,]? */))
        return substr(text, 1, RLENGTH)
    for (i = item; block_type[i - 1] == "L"; i--);
    for (; i <= blocks && block_type[i] == "L"; i++)
        if (!match(block_text[i], /^[A-Z][A-Z0-9]*_[A-Z0-9_]+: +/))
            return ""
    match(text, /^[^:]*: +/)
    return substr(text, 1, RLENGTH)
}

# Shows blocks. In a list that hangs below a name (`inner`) their paragraphs hang too.
function show_blocks(from, to, inner, file,    i, tag, rest, is_first, is_inside) {
    is_first = 1
    is_inside = 0
    for (i = from; i <= to; i++) {
        if (block_type[i] == "C")
            continue
        if (inner && block_type[i] == "L" && !is_inside)
            print ".RS" > file
        if (inner && block_type[i] != "L" && is_inside)
            print ".RE" > file
        is_inside = block_type[i] == "L"
        if (block_type[i] == "P") {
            if (!is_first)
                print (inner ? ".IP" : ".PP") > file
            filled(prose(block_text[i]), file)
        } else if ((tag = tag_of(i)) != "") {
            rest = substr(block_text[i], length(tag) + 1)
            sub(/[:,]? *$/, "", tag)
            print ".TP 10" > file
            print prose(tag) > file
            # An item that is no more than an error.
            filled(rest ~ /[A-Za-z]/ ? prose(rest) : "\\&", file)
        } else {
            print ".IP \\(bu 2" > file
            filled(prose(block_text[i]), file)
        }
        is_first = 0
    }
    if (inner && is_inside)
        print ".RE" > file
}

function show_code(text, file,    lines, count, i) {
    print ".in +4n\n.EX" > file
    count = split(text, lines, "\n")
    for (i = 1; i <= count; i++)
        print code(lines[i]) > file
    print ".EE\n.in" > file
}
