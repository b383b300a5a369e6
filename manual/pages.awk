# Reads manual/groups and include/bytefd.h, and writes the pages of section 3, a page for each other name, and the parts of
# bytefd(7) that the header has. Variables: out, a folder; version; date.

function fail(text) {
    print "manual: " text > "/dev/stderr"
    failed = 1
    exit 1
}

# Roff ------------------------------------------------------------------------------------------------------------------

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

# Comments --------------------------------------------------------------------------------------------------------------

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

# The header ------------------------------------------------------------------------------------------------------------

function note(name, what, declared) {
    if (name in kind)
        return
    kind[name] = what
    declaration[name] = declared
    comment[name] = pending
    names[++name_count] = name
    pending = ""
}

# A declaration without what tells the compiler more than the reader.
function declared(text) {
    gsub(/BYTEFD_(MUST_USE|NONNULL) ?/, "", text)
    gsub(/ ?BYTEFD_(READS|WRITES)\([^)]*\)/, "", text)
    gsub(/struct bytefd_/, "bytefd_", text)
    gsub(/[ \n]+/, " ", text)
    gsub(/\( /, "(", text)
    sub(/^ /, "", text)
    return text
}

FILENAME ~ /groups$/ {
    if ($0 !~ /^#/ && NF > 0) {
        split($0, cells, / *\| */)
        pages[++page_count] = cells[1]
        about[cells[1]] = cells[2]
        others[cells[1]] = cells[4]
        count = split(cells[3], parts, " ")
        for (i = 1; i <= count; i++)
            wanted[parts[i]] = cells[1]
    }
    next
}

# Inside of a comment.
in_comment {
    if ($0 ~ /\*\/ *$/) {
        in_comment = 0
        sub(/ *\*\/ *$/, "")
    }
    sub(/^ *\* ?/, "")
    pending = pending (pending == "" ? "" : "\n") $0
    if (!in_comment) {
        sub(/\n+$/, "", pending)
        if (top == "")
            top = pending
        tail = pending
        if (in_struct == "")
            next
        member_text = pending
    }
    next
}
/^ *\/\*/ {
    pending = ""
    text = $0
    if (text ~ /\*\/ *$/) {
        sub(/^ *\/\*+ */, "", text)
        sub(/ *\*\/ *$/, "", text)
        pending = text
    } else {
        in_comment = 1
    }
    next
}

# Inside of a struct: a member, with the comment before it.
in_struct != "" {
    body = body "\n" $0
    if ($0 ~ /^}/) {
        pending = struct_comment
        note(in_struct, "struct", declared_struct(body))
        in_struct = ""
    } else if ($0 ~ /;/) {
        member = $0
        sub(/(\[.*)?;.*/, "", member)
        sub(/.*[ *]/, "", member)
        members[in_struct] = members[in_struct] " " member
        comment[in_struct "." member] = member_text
    }
    next
}
function declared_struct(text) {
    gsub(/struct bytefd_/, "bytefd_", text)
    sub(/^typedef bytefd_[a-z_]+/, "typedef struct", text)
    return text
}

/^#define / {
    line = $0
    while (line ~ /\\$/) {
        sub(/ *\\$/, "", line)
        getline rest
        line = line rest
    }
    name = line
    sub(/^#define /, "", name)
    sub(/[ (].*/, "", name)
    # A macro that has no comment belongs to the one before it.
    if (pending == "" && name ~ /_INIT$|_VERSION_|_VERSION$|_WRITES$/)
        pending = last_comment
    last_comment = pending
    if (pending != "" && line ~ /^#define [A-Z_]+(\(| |$)/)
        note(name, "macro", line)
    next
}
/^#/ || /^extern/ || /^}/ || /^ *$/ { if ($0 ~ /^#pragma/) pending = ""; next }

/^typedef struct [a-z_]+ \{/ {
    in_struct = $3
    struct_comment = pending
    body = $0
    next
}
# The inline functions with short names.
/^static inline/ {
    short = $0
    sub(/\(.*/, "", short)
    sub(/.*[ *]/, "", short)
    is_inline = 1
    pending = ""
    next
}
is_inline {
    if (match($0, /return bytefd_[a-z_]+/)) {
        long_name[short] = substr($0, RSTART + 7, RLENGTH - 7)
        short_name[long_name[short]] = short
        is_inline = 0
    }
    next
}
/^[A-Za-z]/ || parts_of != "" {
    parts_of = parts_of (parts_of == "" ? "" : " ") $0
    if ($0 !~ /;/)
        next
    name = text = declared(parts_of)
    parts_of = ""
    if (text ~ /^typedef bytefd_[a-z_]+ bytefd_[a-z_]+;/) {
        sub(/;.*/, "", name)
        sub(/.* /, "", name)
        note(name, "handle", text)
    } else if (text ~ /^typedef/) {
        sub(/.*\(\*/, "", name)
        sub(/\).*/, "", name)
        note(name, "callback", text)
    } else {
        sub(/\(.*/, "", name)
        sub(/.*[ *]/, "", name)
        note(name, "function", text)
    }
    next
}

# Pages -----------------------------------------------------------------------------------------------------------------

# The page that a name belongs to.
function page_for(name,    length_, prefix) {
    if (name in wanted)
        return wanted[name]
    if (name ~ /_INIT$/) {
        sub(/_INIT$/, "", name)
        return page_for(tolower(name))
    }
    for (length_ = length(name); length_ > 0; length_--) {
        prefix = substr(name, 1, length_) "*"
        if (prefix in wanted)
            return wanted[prefix]
    }
    return ""
}

# A prototype with its parameters in italics, broken below its parenthesis.
function show_prototype(text, file,    count, parts, i, line, shown, piece, name, indent) {
    count = split(text, parts, /, /)
    indent = index(text, "(")
    line = ""
    shown = ""
    for (i = 1; i <= count; i++) {
        piece = parts[i] (i < count ? "," : "")
        if (line != "" && length(line) + 1 + length(piece) > 76) {
            print shown > file
            line = sprintf("%" indent "s", "")
            shown = line
        } else if (line != "") {
            line = line " "
            shown = shown " "
        }
        line = line piece
        shown = shown parameter(piece)
    }
    print shown > file
}
function parameter(piece,    before, name, after) {
    if (!match(piece, /[A-Za-z_][A-Za-z0-9_]*(,|\)+;)$/) || piece ~ /\(void\);$/)
        return "\\fB" code(piece) "\\fP"
    name = substr(piece, RSTART, RLENGTH)
    before = substr(piece, 1, RSTART - 1)
    after = name
    sub(/^[A-Za-z0-9_]+/, "", after)
    name = substr(name, 1, length(name) - length(after))
    return "\\fB" code(before) "\\fP\\fI" name "\\fP\\fB" after "\\fP"
}

function title(name, word) {
    return kind[name] != "function" ? name : name "()" (name in short_name ? ", " short_name[name] "()" : "")
}

function show_page(page,    file, i, name, list, functions, is_any, from, to, count, parts, j) {
    here = page
    file = out "/man3/" page ".3"
    print ".TH " toupper(page) " 3 " date " \"bytefd " version "\" \"bytefd manual\"" > file
    print ".SH NAME" > file
    list = ""
    functions = 0
    for (i = 1; i <= name_count; i++) {
        name = names[i]
        if (page_of[name] != page || kind[name] == "macro")
            continue
        if (kind[name] == "function" || functions_on[page] == 0)
            list = list (list == "" ? "" : ", ") name (name in short_name ? ", " short_name[name] : "")
        functions += kind[name] == "function"
    }
    filled(list " \\- " about[page], file)
    print ".SH LIBRARY\nbytefd (libbytefd,\n.IR \\-lbytefd )\n.SH SYNOPSIS\n.nf\n.B #include <bytefd.h>" > file
    for (i = 1; i <= name_count; i++)
        if (page_of[names[i]] == page && (kind[names[i]] == "function" || kind[names[i]] == "callback")) {
            print ".PP" > file
            show_prototype(declaration[names[i]], file)
        }
    print ".fi\n.SH DESCRIPTION" > file

    # What the functions are about, then what they do.
    for (j = 1; j <= 3; j++)
        for (i = 1; i <= name_count; i++) {
            name = names[i]
            if (page_of[name] != page || kind[name] != (j == 1 ? "handle" : j == 2 ? "function" : "callback"))
                continue
            print ".SS " title(name) > file
            read_blocks(comment[name])
            from = j == 2 ? returns_from() : 0
            to = from == 0 ? 0 : returns_to(from)
            show_blocks(1, from == 0 ? blocks : from - 1, 0, file)
            if (to > 0 && to < blocks && block_type[to + 1] == "P")
                print ".PP" > file
            if (to > 0)
                show_blocks(to + 1, blocks, 0, file)
        }

    is_any = 0
    for (i = 1; i <= name_count; i++) {
        name = names[i]
        if (page_of[name] != page || kind[name] != "struct")
            continue
        if (!is_any++)
            print ".SH STRUCTURES" > file
        print ".SS " name > file
        read_blocks(comment[name])
        show_blocks(1, blocks, 0, file)
        print ".PP" > file
        show_code(declaration[name], file)
        count = split(members[name], parts, " ")
        for (j = 1; j <= count; j++) {
            print ".TP\n.I " parts[j] > file
            read_blocks(comment[name "." parts[j]])
            show_blocks(1, blocks, 1, file)
        }
    }

    is_any = 0
    for (i = 1; i <= name_count; i++) {
        name = names[i]
        if (page_of[name] != page || kind[name] != "macro" || name ~ /_INIT$/)
            continue
        if (!is_any++)
            print ".SH CONSTANTS" > file
        print ".TP\n.B " name > file
        read_blocks(comment[name])
        show_blocks(1, blocks, 1, file)
    }

    is_any = 0
    for (i = 1; i <= name_count; i++) {
        name = names[i]
        if (page_of[name] != page || kind[name] != "function")
            continue
        read_blocks(comment[name])
        if ((from = returns_from()) == 0)
            continue
        if (!is_any++)
            print ".SH RETURN VALUE" > file
        if (functions > 1)
            print ".SS " title(name) > file
        show_blocks(from, returns_to(from), 0, file)
    }

    print ".SH VERSIONS" > file
    filled(prose(since " This page describes version " version "."), file)
    is_any = 0
    for (i = 1; i <= name_count; i++) {
        name = names[i]
        if (page_of[name] != page)
            continue
        read_blocks(comment[name])
        for (j = 1; j <= blocks; j++) {
            if (block_type[j] != "C")
                continue
            if (!is_any++)
                print ".SH EXAMPLES" > file
            print ".SS " title(name) > file
            show_code(block_text[j], file)
        }
    }
    show_see_also(page, file)
    close(file)
}

# Other pages, by section and name; bytefd(7) last.
function show_see_also(page, file,    list, i, count, parts) {
    list = others[page]
    count = split(list, parts, " ")
    print ".SH SEE ALSO" > file
    for (i = 1; i <= count; i++)
        if (parts[i] !~ /\([457]\)/)
            print ".BR " see(parts[i]) "," > file
    for (i = 1; i <= page_count; i++)
        if (pages[i] != page)
            print ".BR " see(pages[i] "(3)") "," > file
    for (i = 1; i <= count; i++)
        if (parts[i] ~ /\([457]\)/)
            print ".BR " see(parts[i]) "," > file
    print ".BR bytefd (7)" > file
}
function see(reference) {
    sub(/\(/, " (", reference)
    gsub(/-/, "\\-", reference)
    return "\\%" reference
}

# The conventions, of which each heading is a line of its own; the pages, the macros and the short names.
function show_overview(    file, i) {
    here = ""
    file = out "/conventions"
    read_blocks(top)
    for (i = 2; i <= blocks; i++) {
        if (block_text[i] ~ /^Generated from/)
            continue
        if (block_type[i] == "P" && block_text[i] !~ /[.:]$/)
            print ".SS " block_text[i] > file
        else {
            if (block_type[i] == "P" && i > 2)
                print ".PP" > file
            show_blocks(i, i, 0, file)
        }
    }
    close(file)
    file = out "/functions"
    for (i = 1; i <= page_count; i++) {
        print ".TP\n.BR " see(pages[i] "(3)") > file
        filled(about[pages[i]], file)
    }
    close(file)
    file = out "/macros"
    for (i = 1; i <= name_count; i++) {
        if (kind[names[i]] != "macro" || page_of[names[i]] != "" && names[i] !~ /_INIT$/ || comment[names[i]] == tail)
            continue
        print ".TP\n.B " names[i] > file
        # The same words serve several macros: the last one has them.
        if (i < name_count && comment[names[i + 1]] == comment[names[i]]) {
            print "\\&" > file
            continue
        }
        read_blocks(comment[names[i]])
        show_blocks(1, blocks, 1, file)
    }
    close(file)
    file = out "/short_names"
    read_blocks(tail)
    show_blocks(1, blocks, 0, file)
    close(file)
}

END {
    if (failed)
        exit 1
    for (i = 1; i <= name_count; i++) {
        name = names[i]
        page_of[name] = page_for(name)
        functions_on[page_of[name]] += kind[name] == "function"
        if (page_of[name] == "" && kind[name] != "macro" || kind[name] != "macro" && comment[name] == "")
            fail(name " has no page in manual/groups, or no comment")
    }
    if (!match(top, /Everything here is there since[^.]*[0-9.]+[0-9][^.]*\./))
        fail("the header does not say since which version everything is there")
    since = substr(top, RSTART, RLENGTH)
    for (i = 1; i <= page_count; i++)
        show_page(pages[i])
    for (i = 1; i <= name_count; i++) {
        if (kind[names[i]] == "macro")
            continue
        link(names[i], page_of[names[i]])
        if (names[i] in short_name)
            link(short_name[names[i]], page_of[names[i]])
    }
    show_overview()
}
function link(name, page) {
    if (name == page)
        return
    print ".so man3/" page ".3" > (out "/man3/" name ".3")
    close(out "/man3/" name ".3")
}
