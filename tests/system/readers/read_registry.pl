#!/usr/bin/perl
# A reader of the registry in another language, written from docs/reference/formats.md alone: prints the entries as JSON.
#
# usage: perl read_registry.pl FOLDER/prediction_registry.json
# Exits 3 and says "damage: FILE at OFFSET: what" for files that are not what was written.
use strict;
use warnings;
use JSON::PP;

my ($registry) = @ARGV or die "usage: $0 REGISTRY\n";
(my $base = $registry) =~ s/\.json$//;
my ($journal, $mark) = ("$base.journal.jsonl", "$base.checkpoint.json");
my $json = JSON::PP->new->utf8;
my $seal = length(',"checksum":"01234567"}');

my @table = map { my $crc = $_; $crc = $crc & 1 ? 0xEDB88320 ^ ($crc >> 1) : $crc >> 1 for 1 .. 8; $crc } 0 .. 255;

sub crc32 {
    my $crc = 0xFFFFFFFF;
    $crc = $table[($crc ^ $_) & 0xFF] ^ ($crc >> 8) for unpack 'C*', shift;
    return sprintf '%08x', $crc ^ 0xFFFFFFFF;
}

sub damage {
    my ($file, $offset, $what) = @_;
    print "damage: $file at $offset: $what\n";
    exit 3;
}

sub bytes_of {
    my ($path) = @_;
    open my $file, '<:raw', $path or return undef;
    local $/;
    my $data = <$file>;
    return defined $data ? $data : '';
}

sub unseal {    # a line without its newline -> the object, or nothing when it is not what was written
    my ($line) = @_;
    return if length $line <= $seal;
    my $body = substr $line, 0, -$seal;
    return if $line ne $body . ',"checksum":"' . crc32($body) . '"}';
    return eval { $json->decode($line) };
}

sub read_mark {
    my $data = bytes_of($mark);
    return unless defined $data;
    $data =~ s/\n\z//;
    my $fields = unseal($data);
    damage($mark, 0, 'no mark') if !$fields || $fields->{format} !~ m{^model-inbox-checkpoint/[12]$};
    return $fields;
}

sub fits {
    my ($said, $data) = @_;
    return length $data == $said->{size} && crc32($data) eq $said->{crc32};
}

sub same_epoch {    # a mark of format 1 names none
    my ($said, $header) = @_;
    return !defined $said->{epoch}
        || $said->{registry_id} eq ($header->{registry_id} // '') && $said->{epoch} eq ($header->{epoch} // '');
}

LOOK: for my $look (1 .. 100) {
    open my $file, '<:raw', $journal or damage($journal, 0, 'it is missing');
    my $inode = (stat $file)[1];
    my $known = read_mark();
    my $data  = bytes_of($registry);
    my $lines = do { local $/; <$file> };
    $lines = '' unless defined $lines;
    my @now = stat $journal;
    next LOOK if !@now || $now[1] != $inode;

    if ($known && defined $data && !fits($known, $data) && !fits($known->{previous}, $data)) {
        my $again = read_mark();
        next LOOK if !$again || $again->{sequence} != $known->{sequence} || $data ne (bytes_of($registry) // '');
        damage($registry, 0, 'the mark does not know it');
    }
    my ($offset, $sequence, $entries) = (0, undef, undef);
    while ((my $end = index $lines, "\n", $offset) >= 0) {
        my $line = unseal(substr $lines, $offset, $end - $offset);
        damage($journal, $offset, 'the checksum does not match') unless $line;
        if (!defined $sequence) {
            damage($journal, 0, 'no header') if ($line->{format} // '') !~ m{^model-inbox-journal/[12]$};
            damage($mark, 0, 'it is of another epoch') if $known && !same_epoch($known, $line);
            $sequence = $line->{base_sequence};
            damage($registry, 0, 'it is missing') if !defined $data && $sequence;
            $entries = defined $data ? eval { $json->decode($data) } : {};
            damage($registry, 0, 'no JSON') unless ref $entries eq 'HASH';
        }
        else {
            damage($journal, $offset, 'not the next number') if $line->{sequence} != ++$sequence;
            if (exists $line->{entry}) {
                if (defined $line->{entry}) { $entries->{ $line->{model_id} } = $line->{entry} }
                else                        { delete $entries->{ $line->{model_id} } }
            }
            my $also = $line->{detail} && $line->{detail}{also} || {};
            $entries->{$_} = $also->{$_} for keys %$also;
        }
        $offset = $end + 1;
    }
    damage($journal, 0, 'no header') unless defined $sequence;
    if ($known && $sequence < $known->{sequence}) {
        damage($journal, $offset, "it ends at line $sequence, but line $known->{sequence} was committed");
    }
    print $json->canonical->encode($entries), "\n";
    exit 0;
}
die "the registry changed during each of many looks\n";
