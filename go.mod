module stovasync

go 1.26
