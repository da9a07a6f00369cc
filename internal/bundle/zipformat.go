package bundle

import (
	"encoding/binary"
	"io"
	"math"
	"time"
)

// The parts of the ZIP format that the Writer emits: local file header, central directory
// header, end of central directory and its zip64 form, of
// https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, sections 4.3 and 4.5. Local
// headers hold the true sizes, so an archive without central directory can be read from its
// start. archive/zip cannot continue an archive after a failed write, which is why this is
// not its Writer.
const (
	sigLocal     = 0x04034b50
	sigCentral   = 0x02014b50
	sigEnd       = 0x06054b50
	sigEnd64     = 0x06064b50
	sigLocator64 = 0x07064b50

	methodDeflate = 8
	flagUTF8      = 1 << 11
	versionZip20  = 20
	versionZip45  = 45
	madeByUnix    = 3 << 8
	modeRegular   = 0o100600
	extraTime     = 0x5455
	extraZip64    = 1
)

// A record is one entry of the archive.
type record struct {
	name       string
	modTime    time.Time
	method     uint16
	crc        uint32
	compressed int64
	size       int64
	offset     int64  // of the local header
	mem        []byte // the compressed bytes, of an entry that is not in the archive
}

// data is the offset of the compressed bytes of an entry that this package wrote.
func (r *record) data() int64 { return r.offset + int64(localHeaderSize(r.name)) }

const timeExtraSize = 9

func localHeaderSize(name string) int   { return 30 + len(name) + timeExtraSize }
func centralHeaderSize(name string) int { return 46 + len(name) + timeExtraSize }

func appendTimeExtra(b []byte, t time.Time) []byte {
	b = binary.LittleEndian.AppendUint16(b, extraTime)
	b = binary.LittleEndian.AppendUint16(b, 5)
	b = append(b, 1)
	return binary.LittleEndian.AppendUint32(b, uint32(t.Unix()))
}

// appendCommon appends the fields that both headers share, from "version needed" to
// "uncompressed size".
func (r *record) appendCommon(b []byte, version uint16) []byte {
	b = binary.LittleEndian.AppendUint16(b, version)
	b = binary.LittleEndian.AppendUint16(b, flagUTF8)
	b = binary.LittleEndian.AppendUint16(b, r.method)
	date, clock := dosTime(r.modTime)
	b = binary.LittleEndian.AppendUint16(b, clock)
	b = binary.LittleEndian.AppendUint16(b, date)
	b = binary.LittleEndian.AppendUint32(b, r.crc)
	b = binary.LittleEndian.AppendUint32(b, uint32(r.compressed))
	return binary.LittleEndian.AppendUint32(b, uint32(r.size))
}

// dosTime is t, in UTC, as MS-DOS date and time; years outside 1980..2107 are clamped.
func dosTime(t time.Time) (date, clock uint16) {
	t = t.UTC()
	year := min(max(t.Year(), 1980), 2107)
	date = uint16(year-1980)<<9 | uint16(t.Month())<<5 | uint16(t.Day())
	return date, uint16(t.Hour())<<11 | uint16(t.Minute())<<5 | uint16(t.Second()/2)
}

func (r *record) localHeader() []byte {
	b := make([]byte, 0, localHeaderSize(r.name))
	b = binary.LittleEndian.AppendUint32(b, sigLocal)
	b = r.appendCommon(b, versionZip20)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(r.name)))
	b = binary.LittleEndian.AppendUint16(b, timeExtraSize)
	b = append(b, r.name...)
	return appendTimeExtra(b, r.modTime)
}

func (r *record) centralHeader() []byte {
	extra := appendTimeExtra(nil, r.modTime)
	offset, version := uint32(math.MaxUint32), uint16(versionZip45)
	if r.offset < math.MaxUint32 {
		offset, version = uint32(r.offset), versionZip20
	} else {
		extra = binary.LittleEndian.AppendUint16(extra, extraZip64)
		extra = binary.LittleEndian.AppendUint16(extra, 8)
		extra = binary.LittleEndian.AppendUint64(extra, uint64(r.offset))
	}
	b := make([]byte, 0, centralHeaderSize(r.name)+12)
	b = binary.LittleEndian.AppendUint32(b, sigCentral)
	b = binary.LittleEndian.AppendUint16(b, madeByUnix|versionZip45)
	b = r.appendCommon(b, version)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(r.name)))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(extra)))
	b = append(b, make([]byte, 6)...) // comment length, disk number, internal attributes
	b = binary.LittleEndian.AppendUint32(b, modeRegular<<16)
	b = binary.LittleEndian.AppendUint32(b, offset)
	b = append(b, r.name...)
	return append(b, extra...)
}

// writeDirectory writes the central directory of records, which starts at offset start.
func writeDirectory(w io.Writer, records []record, start int64) error {
	var size int64
	for i := range records {
		h := records[i].centralHeader()
		size += int64(len(h))
		if _, err := w.Write(h); err != nil {
			return err
		}
	}
	_, err := w.Write(endOfDirectory(uint64(len(records)), uint64(size), uint64(start)))
	return err
}

func endOfDirectory(count, size, start uint64) []byte {
	var b []byte
	if count >= math.MaxUint16 || size >= math.MaxUint32 || start >= math.MaxUint32 {
		b = binary.LittleEndian.AppendUint32(b, sigEnd64)
		b = binary.LittleEndian.AppendUint64(b, 44)
		b = binary.LittleEndian.AppendUint16(b, madeByUnix|versionZip45)
		b = binary.LittleEndian.AppendUint16(b, versionZip45)
		b = append(b, make([]byte, 8)...) // disk numbers
		b = binary.LittleEndian.AppendUint64(b, count)
		b = binary.LittleEndian.AppendUint64(b, count)
		b = binary.LittleEndian.AppendUint64(b, size)
		b = binary.LittleEndian.AppendUint64(b, start)
		b = binary.LittleEndian.AppendUint32(b, sigLocator64)
		b = binary.LittleEndian.AppendUint32(b, 0)
		b = binary.LittleEndian.AppendUint64(b, start+size)
		b = binary.LittleEndian.AppendUint32(b, 1)
	}
	n := uint16(min(count, math.MaxUint16))
	b = binary.LittleEndian.AppendUint32(b, sigEnd)
	b = append(b, 0, 0, 0, 0) // disk numbers
	b = binary.LittleEndian.AppendUint16(b, n)
	b = binary.LittleEndian.AppendUint16(b, n)
	b = binary.LittleEndian.AppendUint32(b, uint32(min(size, math.MaxUint32)))
	b = binary.LittleEndian.AppendUint32(b, uint32(min(start, math.MaxUint32)))
	return binary.LittleEndian.AppendUint16(b, 0)
}
