# Writes the pages of section 3, a page for each other name, and the parts of bytefd(7) that the header has, from what header.awk
# has read. Variables: out, a folder; version; date.

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
    if (!match(top, /Everything here exists since[^.]*[0-9.]+[0-9][^.]*\./))
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
