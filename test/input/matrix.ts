// Which test shows what becomes of each kind of bad input. matrix.test.ts checks that every row is here and every test exists; the tests
// themselves hold the files and the expected codes and places.

export interface MatrixRow {
  readonly row: string;
  readonly input: string;
  /** File below test/, and the names of tests in it. */
  readonly tests: readonly (readonly [string, string])[];
}

function row(number: number, input: string, ...tests: readonly (readonly [string, string])[]): MatrixRow {
  return { row: `B${number}`, input, tests };
}

const form = (name: string) => ['input/form.test.ts', name] as const;
const encoding = (name: string) => ['input/encoding.test.ts', name] as const;
const values = (name: string) => ['input/values.test.ts', name] as const;
const folder = (name: string) => ['input/folder.pg.test.ts', name] as const;
const packed = (name: string) => ['input/packed.pg.test.ts', name] as const;

export const MATRIX: readonly MatrixRow[] = [
  row(1, 'a file of 0 bytes', form('an empty file is read to its end and brings nothing')),
  row(
    2,
    'a header alone; blank lines',
    form('a header alone and blank lines bring nothing; blank lines are counted'),
  ),
  row(3, 'no line end at the end, or two', form('the last record counts with and without its line end')),
  row(
    4,
    'no header, two headers, a preamble, two tables',
    form('a file without our header is refused, and its first row is never taken for one'),
  ),
  row(
    5,
    'columns in another order, too many, missing',
    form('columns go by name: order, extra and optional ones do not matter, a required one does'),
  ),
  row(
    6,
    'odd and repeated header names',
    form(
      'header names: twice is refused; blanks, BOM, quotes and case do not matter; names of object properties are names',
    ),
  ),
  row(7, 'too few or too many fields', form('too few and too many fields cost their record')),
  row(
    8,
    'stray quotes',
    form(
      'a quote inside a field is data, something behind a closing quote is a fault, and the next line is intact',
    ),
  ),
  row(
    9,
    'a quote that is never closed',
    form('a quote that is never closed costs its own line and nothing behind it'),
  ),
  row(
    10,
    'line ends, delimiters and quotes in quotes',
    form('quoted line ends, delimiters and quotes survive every cut of the file'),
  ),
  row(
    11,
    'line ends of every kind',
    form('LF, CRLF and both in one file end records; CR does by option; other line breaks are data'),
    form('a file whose lines end otherwise than it is told is refused with the name of the option'),
  ),
  row(12, 'byte order marks', form('a BOM at the beginning is dropped, further on it is data')),
  row(
    13,
    'other encodings',
    encoding('UTF-16 with its mark is read, and its places are those of the file'),
    encoding(
      'without a mark UTF-16 and single bytes are refused with the option that reads them, and read with it',
    ),
    encoding('an encoding that the file does not have refuses it'),
    encoding('a text means the same in every encoding, wherever the file is cut'),
  ),
  row(14, 'invalid UTF-8', encoding('invalid UTF-8 costs its record, whose bytes are kept')),
  row(15, 'odd but valid Unicode', encoding('odd Unicode is stored byte for byte')),
  row(
    16,
    'NUL bytes, blocks of zeros',
    encoding('NUL bytes cost their record; a block of zeros is one record and is read in linear time'),
  ),
  row(
    17,
    'control characters, backslashes, words of COPY',
    encoding('control characters, backslashes and the words of COPY are stored as they are'),
  ),
  row(
    18,
    'endless lines, fields and column lists',
    form('a record beyond 1 MiB is refused in whatever form, and the next one is intact'),
    form('a line without end is passed block by block: bytes looked at and memory stay bounded'),
  ),
  row(
    19,
    'what makes naive parsers quadratic',
    form('many quotes or delimiters without a line end are read in linear time'),
  ),
  row(
    20,
    'compressed content',
    encoding('compressed content under a plain name is refused, with the way out'),
    packed('a compressed file is read whole, of one member or several'),
    packed('a compressed file that is cut off, damaged or a bomb brings no row at all, and says why'),
  ),
  row(21, 'binary files, HTML, JSON', encoding('files that are no CSV are refused by their beginning')),
  row(
    22,
    'other delimiters, sep= lines',
    encoding(
      'another delimiter is found when it is one of four, refused with the option otherwise, and read with it',
    ),
  ),
  row(23, 'spellings of a UUID', values('a UUID is taken in four spellings, any version, and in no other')),
  row(
    24,
    'one UUID in two spellings',
    values('one UUID in several spellings is one key'),
    folder(
      'the first of several records with one key is stored, the others are duplicates, in a file and across files',
    ),
  ),
  row(
    25,
    'one key with other content',
    folder(
      'the first of several records with one key is stored, the others are duplicates, in a file and across files',
    ),
  ),
  row(
    26,
    'spellings of a quantity',
    values('a quantity is digits only, within four bytes, and not negative'),
  ),
  row(
    27,
    'spellings of a price',
    values('a price is a plain decimal, is never rounded, and is not negative'),
  ),
  row(
    28,
    'spellings of a time',
    values('a timestamp is written in one way, names a moment, and is of years 1 to 9999'),
  ),
  row(
    29,
    'empty fields and words for nothing',
    values('empty, quoted empty and blank: NULL, NULL and text; words for nothing are text'),
    encoding('words for NULL are empty fields by option, and text without it'),
  ),
  row(
    30,
    'SQL in values and names',
    values('text that means something to SQL, shells, spreadsheets and browsers is stored as it is'),
    folder(
      'texts that mean something to SQL, spreadsheets and browsers come out of the table as they went in',
    ),
  ),
  row(
    31,
    'formulas',
    folder(
      'texts that mean something to SQL, spreadsheets and browsers come out of the table as they went in',
    ),
  ),
  row(
    32,
    'HTML and scripts',
    folder(
      'texts that mean something to SQL, spreadsheets and browsers come out of the table as they went in',
    ),
  ),
  row(
    33,
    'odd file names',
    folder('file names of any bytes are read, written down byte for byte and printed without effect'),
  ),
  row(
    34,
    'unfinished, hidden and foreign names',
    folder('unfinished, hidden and foreign names, folders, links and pipes are not read'),
  ),
  row(
    35,
    'public collections of nasty CSV',
    [
      'input/corpora.pg.test.ts',
      'check and the pipeline account for every record of every sample, and agree',
    ],
    ['input/fuzz.test.ts', 'any bytes: no crash, nothing lost, both paths and every cut agree'],
  ),
  row(
    36,
    'very many files, very long and short rows',
    folder('many small files and one of long and short rows'),
  ),
  row(
    37,
    'bad records only, or every tenth',
    folder('a file of bad records only is counted whole, and its listed rejects are bounded'),
  ),
  row(
    38,
    'the same content again',
    folder('the same content under another name, sent again, appended to, or compressed brings no row twice'),
  ),
];
